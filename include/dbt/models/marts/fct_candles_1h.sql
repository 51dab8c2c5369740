{{ config(materialized='view') }}

{{ candles(60) }}
