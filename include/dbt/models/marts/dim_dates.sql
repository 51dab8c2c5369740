{{ config(materialized='view') }}

with

days as (

    select traded_date
    from
        unnest(
            generate_date_array(date '2015-01-01', date '2039-12-31')
        ) as traded_date

),

final as (

    select
        traded_date,
        extract(year from traded_date) * 10000
        + extract(month from traded_date) * 100
        + extract(day from traded_date) as date_key,
        extract(year from traded_date) as year_no,
        extract(quarter from traded_date) as quarter_no,
        extract(month from traded_date) as month_no,
        format_date('%B', traded_date) as month_name,
        extract(day from traded_date) as day_of_month,
        -- ISO counts from Monday, extract from Sunday.
        mod(extract(dayofweek from traded_date) + 5, 7) + 1 as iso_day_of_week,
        format_date('%A', traded_date) as day_name,
        extract(isoyear from traded_date) as iso_year,
        extract(isoweek from traded_date) as iso_week,
        date_trunc(traded_date, isoweek) as week_starts_on,
        date_trunc(traded_date, month) as month_starts_on,
        date_trunc(traded_date, quarter) as quarter_starts_on,
        extract(dayofweek from traded_date) in (1, 7) as is_weekend
    from days

)

select * from final
