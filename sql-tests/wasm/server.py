"""A server of one's own over a fresh directory, on loopback: started, killed, started again."""

import subprocess
import threading

import psycopg


class Server:
    def __init__(self, binary, directory):
        self.command = [binary, "serve", str(directory), "--listen", "127.0.0.1:0", "--memory-limit", "500MB"]
        self.errors = directory.parent / "errors"
        self.start()

    def start(self):
        with open(self.errors, "a") as errors:
            self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=errors, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            raise SystemExit(f"the server does not start: {self.errors.read_text()}")
        self.port = int(line.split(";")[0].rsplit(":", 1)[1])
        # Whatever else it prints must not fill the pipe.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def kill(self):
        """As if the power went."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        finally:
            self.process.kill()

    def connect(self):
        # Functions are made anew with other types, which a prepared statement must not survive.
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="lightning", dbname="lightning", autocommit=True, prepare_threshold=None
        )

    def complaints(self):
        """What it wrote beside its answers: nothing, but that it was told to stop."""
        return [line for line in self.errors.read_text().splitlines() if line != "shutting down"]

    def resident_bytes(self):
        """What the process has in memory."""
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * 4096
