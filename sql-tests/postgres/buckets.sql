-- What buckets are, in PostgreSQL's own words: date_bin for lengths, the calendar for months, AT TIME ZONE for local time.

-- Where the bucket of months begins that a local time is in; one begins at `origin`.
CREATE FUNCTION cut_months(months int, at timestamp, origin timestamp) RETURNS timestamp IMMUTABLE LANGUAGE sql AS $$
    SELECT max(start)
    FROM (SELECT (extract(year FROM age(at, origin)) * 12 + extract(month FROM age(at, origin)))::int / months AS passed) p,
        LATERAL (SELECT origin + interval '1 month' * (months * k) FROM generate_series(passed - 2, passed + 1) k) s(start)
    WHERE start <= at
$$;

-- The same for any width.
CREATE FUNCTION cut(width interval, at timestamp, origin timestamp) RETURNS timestamp IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE extract(month FROM width)::int WHEN 0 THEN date_bin(width, at, origin) ELSE cut_months(extract(month FROM width)::int, at, origin) END
$$;

-- The same for an instant, on the clock of a zone. Buckets that divide an hour keep the offset the instant has.
CREATE FUNCTION bucket(width interval, at timestamptz, zone text, origin timestamp) RETURNS timestamptz IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE
        WHEN width <= '1 hour' AND mod(3600, extract(epoch FROM width)) = 0 AND date_trunc('hour', origin) = origin
            THEN at - ((at AT TIME ZONE zone) - cut(width, at AT TIME ZONE zone, origin))
        ELSE cut(width, at AT TIME ZONE zone, origin) AT TIME ZONE zone
    END
$$;

-- Every bucket that some fifth minute is in between two instants, the second excluded.
CREATE FUNCTION buckets(width interval, lower timestamptz, upper timestamptz, zone text, origin timestamp) RETURNS SETOF timestamptz STABLE LANGUAGE sql AS $$
    SELECT DISTINCT bucket(width, at, zone, origin)
    FROM (SELECT generate_series(lower, upper - interval '1 microsecond', '5 minutes') UNION ALL SELECT upper - interval '1 microsecond') s(at)
    WHERE at >= lower
$$;
