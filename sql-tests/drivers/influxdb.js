// InfluxDB's client for JavaScript: points in batches, compressed, read back with node-postgres.
const assert = require('node:assert');
const { InfluxDB, Point, HttpError } = require('@influxdata/influxdb-client');
const { Client } = require('pg');

const awkward = 'comma, space = "quoted" back\\slash ü 漢字';

async function main() {
    const client = new Client();
    await client.connect();
    const sql = async (text) => (await client.query({ text, rowMode: 'array' })).rows;
    await sql('drop table if exists "js kinds", js_batch, js_partial');
    const influx = new InfluxDB({ url: `http://${process.env.LIGHTNING_HTTP}`, token: 'any' });

    const write = influx.getWriteApi('any', 'lightning', 'ms', { batchSize: 1000, flushInterval: 0, gzipThreshold: 1 });
    const time = new Date('2024-02-29T12:00:00.123Z');
    write.useDefaultTags({ site: 'x y' });
    write.writePoint(new Point('js kinds').tag('tag,=', awkward).floatField('f', 0.1).intField('i', 7).uintField('u', 8)
        .booleanField('b', true).stringField('s', awkward).timestamp(time));
    await write.flush();
    // The client waits for the batch it is told to send, not for those it sends by itself.
    for (let first = 0; first < 3210; first += 500) {
        const count = Math.min(500, 3210 - first);
        write.writePoints(Array.from({ length: count }, (_, i) => new Point('js_batch').tag('k', `h${(first + i) % 7}`).intField('v', first + i).timestamp(first + i)));
        await write.flush();
    }
    await write.close();
    assert.deepStrictEqual(await sql('select "time", site, "tag,=", f, i, u, b, s from "js kinds"'), [
        [time, 'x y', awkward, 0.1, '7', '8', true, awkward],
    ]);
    assert.deepStrictEqual(await sql('select count(*), count(distinct k), sum(v), max("time") from js_batch'), [
        ['3210', '7', String((3209 * 3210) / 2), new Date(3209)],
    ]);

    // What is wrong is told to the client and not tried again.
    let failed;
    const broken = influx.getWriteApi('any', 'lightning', 's', { flushInterval: 0, maxRetries: 0, writeFailed: (e) => { failed = e; } });
    broken.writeRecords(['js_partial v=1 1', 'js_partial v= 2', 'js_partial v=3 3']);
    await broken.close().catch(() => {});
    assert.ok(failed instanceof HttpError && failed.statusCode === 400 && /line 2, column 14/.test(failed.message), String(failed));
    assert.deepStrictEqual(await sql('select v from js_partial order by v'), [[1], [3]]);
    await sql('drop table "js kinds", js_batch, js_partial');
    await client.end();
    console.log('node influxdb-client ok');
}

main().catch((e) => {
    console.error(e);
    process.exit(1);
});
