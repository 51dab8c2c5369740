{{ config(materialized='view') }}

with

minutes as (

    select time_key from unnest(generate_array(0, 1439)) as time_key

),

final as (

    select
        time_key,
        div(time_key, 60) as hour_of_day,
        mod(time_key, 60) as minute_of_hour,
        format('%02d:%02d', div(time_key, 60), mod(time_key, 60)) as time_label,
        format('%02d:00', div(time_key, 60)) as hour_label
    from minutes

)

select * from final
