-- Notes where letters go before they go there.
update `{dead_letters}` as letter
set redriven_to = @redriven_to
where
    letter.redriven_at is null
    and concat(letter.segment, ':', cast(letter.line_no as string))
    in unnest(@keys)
