update `{dead_letters}`
set redriven_at = current_timestamp()
where
    redriven_to = @redriven_to
    and redriven_at is null
