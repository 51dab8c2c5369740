{{ config(materialized='view') }}

{{ candles(1440) }}
