-- The graph of the demo: the services that run on the six web servers of demo.metric, whom they call, and who is called when they fail.

CREATE TABLE demo.service (
    name text PRIMARY KEY,
    host text NOT NULL                   -- as in demo.metric
);

INSERT INTO demo.service
SELECT unnest(services), host
FROM (VALUES
    ('web1', ARRAY['shop', 'app', 'login']),
    ('web2', ARRAY['search', 'checkout', 'reviews']),
    ('web3', ARRAY['admin', 'catalog', 'mail']),
    ('web4', ARRAY['cart', 'stock', 'prices']),
    ('web5', ARRAY['payment', 'shipping', 'images']),
    ('web6', ARRAY['fraud', 'profile', 'ledger'])
) AS hosts (host, services);

CREATE TABLE demo.calls (
    caller text,
    callee text,
    ms     double precision NOT NULL,    -- how long an answer takes, in milliseconds
    PRIMARY KEY (caller, callee)
);

-- From shop to ledger, the way with the fewest calls is not the quickest.
INSERT INTO demo.calls VALUES
    ('shop', 'login', 4), ('shop', 'search', 12), ('shop', 'catalog', 8), ('shop', 'cart', 6), ('shop', 'checkout', 40),
    ('shop', 'images', 20), ('shop', 'reviews', 15),
    ('app', 'login', 5), ('app', 'search', 14), ('app', 'cart', 7), ('app', 'profile', 6),
    ('admin', 'login', 4), ('admin', 'stock', 9), ('admin', 'ledger', 11), ('admin', 'mail', 3),
    ('login', 'profile', 3),
    ('search', 'catalog', 10), ('search', 'prices', 5),
    ('catalog', 'stock', 6), ('catalog', 'prices', 4), ('catalog', 'images', 18),
    ('reviews', 'catalog', 8), ('reviews', 'profile', 4),
    ('cart', 'stock', 5), ('cart', 'prices', 3), ('cart', 'checkout', 9),
    ('checkout', 'payment', 30), ('checkout', 'shipping', 12), ('checkout', 'profile', 6), ('checkout', 'mail', 2),
    ('payment', 'fraud', 45), ('payment', 'ledger', 7),
    ('fraud', 'profile', 5),
    ('shipping', 'stock', 6), ('shipping', 'mail', 2),
    ('ledger', 'mail', 2);

CREATE TABLE demo.person (
    name  text PRIMARY KEY,
    phone text NOT NULL
);

INSERT INTO demo.person VALUES
    ('Ann', '555-0101'), ('Bob', '555-0102'), ('Cid', '555-0103'), ('Dee', '555-0104'), ('Eve', '555-0105');

CREATE TABLE demo.on_call (
    person  text,
    service text,
    turn    integer NOT NULL,            -- who is called first, and who if nobody answers
    PRIMARY KEY (service, turn)
);

INSERT INTO demo.on_call
SELECT person.name, service.name, turn
FROM (SELECT name, row_number() OVER (ORDER BY name) AS n FROM demo.service) AS service,
     (SELECT name, row_number() OVER (ORDER BY name) AS n FROM demo.person) AS person,
     generate_series(1, 2) AS turns (turn)
WHERE person.n % 5 = (service.n + 2 * turn) % 5;

-- The same rows as vertices and edges; nothing is copied.
CREATE PROPERTY GRAPH demo.site
    VERTEX TABLES (demo.service, demo.person)
    EDGE TABLES (
        demo.calls   SOURCE KEY (caller) REFERENCES service (name) DESTINATION KEY (callee)  REFERENCES service (name),
        demo.on_call SOURCE KEY (person) REFERENCES person (name)  DESTINATION KEY (service) REFERENCES service (name)
    );
