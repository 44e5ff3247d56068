#!/usr/bin/env bash
# Bytes that are no protocol harm nobody but their sender.
set -euo pipefail

send() {
    # Whatever comes back, or nothing; the server closes the connection.
    (exec 3<>"/dev/tcp/$PGHOST/$PGPORT" && printf "$1" >&3 && timeout 5 cat <&3 >/dev/null) 2>/dev/null || true
}

send 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'
send '\x00\x00\x00\x00'
send '\x7f\xff\xff\xff\x00\x03\x00\x00'
send '\x00\x00\x00\x08\x00\x03\x00\x00'
send '\x00\x00\x00\x09\x00\x03\x00\x00\x00\x51\x7f\xff\xff\xff'
send '\x00\x00\x00\x08\x04\xd2\x16\x2fgarbage after SSL'
head -c 100000 /dev/urandom | (exec 3<>"/dev/tcp/$PGHOST/$PGPORT" && cat >&3 && timeout 5 cat <&3 >/dev/null) 2>/dev/null || true

[[ "$(psql -X -A -t -c 'select 1')" == "1" ]]
