{{ config(materialized='view') }}

{{ candles(5) }}
