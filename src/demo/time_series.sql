-- The time series of the demo. Everything follows from the numbers of the rows: the same data every time, at every place.
-- No retention: the days are fixed, and would be too old before long.

-- Six web servers, measured every 15 seconds for three days from Monday, 2024-05-06. A step is 15 seconds, 5760 of them a day.
CREATE TABLE demo.metric (
    ts       timestamptz,
    host     text,
    cpu      double precision,      -- percent
    requests bigint,                -- answered since the host was started
    PRIMARY KEY (host, ts)
) WITH (time_column = 'ts', partition_by = '1 day');

INSERT INTO demo.metric
SELECT timestamptz '2024-05-06 00:00+00' + interval '15 seconds' * step,
       'web' || host,
       round(10 * (24 + 5 * host - 18 * cos(step * pi() / 2880) + (step * 37 + host * 11) % 101 / 9.0)) / 10,
       -- More by day than by night, and never less than before.
       floor((12 + 3 * host) * (step - started) + 12000 * (sin(started * pi() / 2880) - sin(step * pi() / 2880)))::bigint
FROM (
    SELECT step, host,
           -- web4 is started again on Tuesday and on Wednesday.
           CASE WHEN host <> 4 OR step < 7400 THEN 0 WHEN step < 13100 THEN 7400 ELSE 13100 END AS started
    FROM generate_series(1, 6) AS hosts (host), generate_series(0, 17279) AS steps (step)
) AS measured
WHERE NOT (host = 2 AND step >= 7920 AND step < 8640)            -- nothing from web2 on Tuesday from 9 to 12
  AND NOT (host = 4 AND step >= 13080 AND step < 13100)          -- nor from web4 for five minutes before its second start
  AND NOT (host = 5 AND step % 53 = 0);                          -- and web5 misses one now and then

-- Prices of three stocks on Monday, every five seconds, and who bought meanwhile.
CREATE TABLE demo.quote (
    ts     timestamptz,
    symbol text,
    price  double precision,
    PRIMARY KEY (symbol, ts)
) WITH (time_column = 'ts');

INSERT INTO demo.quote
SELECT timestamptz '2024-05-06 13:30+00' + interval '1 second' * (5 * i + n),
       symbol,
       round(100 * (base * (1 + 0.02 * sin(i * (n + 1) / 700.0)) + (i * 29 + n) % 23 / 50.0)) / 100
FROM (VALUES (0, 'ACME', 82.5), (1, 'GLOBEX', 140.25), (2, 'INITECH', 31.0)) AS stock (n, symbol, base),
     generate_series(0, 4679) AS quotes (i);

CREATE TABLE demo.trade (
    ts       timestamptz,
    symbol   text,
    quantity integer,
    PRIMARY KEY (symbol, ts)
) WITH (time_column = 'ts');

INSERT INTO demo.trade
SELECT timestamptz '2024-05-06 13:30:10+00' + interval '1 millisecond' * (47250 * i + 7100 * n),
       symbol,
       100 * (1 + (i * 13 + n) % 9)
FROM (VALUES (0, 'ACME'), (1, 'GLOBEX'), (2, 'INITECH')) AS stock (n, symbol),
     generate_series(0, 494) AS trades (i);

-- Hours of every host, always right, computed anew in the background where something has changed.
CREATE MATERIALIZED VIEW demo.hourly WITH (continuous, refresh = '1 minute') AS
SELECT time_bucket('1 hour', ts) AS hour, host, avg(cpu) AS cpu, max(cpu) AS cpu_max, increase(requests, ts) AS requests
FROM demo.metric
GROUP BY hour, host;
