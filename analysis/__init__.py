"""The marts as an analyst sees them: the pictures of docs/analysis.md, and what they are drawn from.

A simulated day and a recorded minute, through the product's own loading and dbt. Nothing of the product imports this.
"""
