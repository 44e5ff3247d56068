// The driver of most JavaScript programs: simple and extended queries, a pool, errors.
const assert = require('node:assert');
const { Client, Pool } = require('pg');

async function main() {
    const client = new Client();
    await client.connect();
    await client.query('drop table if exists driver_node');
    await client.query('create table driver_node (i integer, t text, n numeric(10,2), ok boolean, doc json, tags text[])');
    await client.query('insert into driver_node values ($1, $2, $3, $4, $5, $6)', [1, 'naïve', '1.50', true, { a: [1] }, ['x', 'y z']]);
    const { rows, fields } = await client.query('select * from driver_node where i = $1', [1]);
    assert.deepStrictEqual(rows, [{ i: 1, t: 'naïve', n: '1.50', ok: true, doc: { a: [1] }, tags: ['x', 'y z'] }]);
    assert.deepStrictEqual(fields.map((field) => field.name), ['i', 't', 'n', 'ok', 'doc', 'tags']);

    const named = { name: 'plus', text: 'select i + $1 + $2 as sum from driver_node where i = 1', values: [1, 2] };
    assert.strictEqual((await client.query(named)).rows[0].sum, 4);
    assert.strictEqual((await client.query({ ...named, values: [3, 4] })).rows[0].sum, 8);

    await client.query('begin');
    const inserted = await client.query("insert into driver_node (i) select g from generate_series(10, 19) as g (g)");
    assert.strictEqual(inserted.rowCount, 10);
    await client.query('rollback');
    assert.strictEqual((await client.query('select count(*) as n from driver_node')).rows[0].n, '1');

    await assert.rejects(client.query('select nope from driver_node'), (e) => e.code === '42703' && e.position === '8');
    const several = await client.query("select true as a; select 'x' as b");
    assert.deepStrictEqual(several.map((result) => result.rows), [[{ a: true }], [{ b: 'x' }]]);

    const pool = new Pool({ max: 10 });
    const sums = await Promise.all(Array.from({ length: 50 }, (_, i) => pool.query('select i * $1 as d from driver_node where i = 1', [i * 2])));
    assert.deepStrictEqual(sums.map((result) => result.rows[0].d), Array.from({ length: 50 }, (_, i) => i * 2));
    await pool.end();
    await client.query('drop table driver_node');
    await client.end();
    console.log('node pg ok');
}

main().catch((e) => {
    console.error(e);
    process.exit(1);
});
