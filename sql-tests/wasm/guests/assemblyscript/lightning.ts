// What guests in AssemblyScript share: columns as the batch ABI passes them, memory for results, and the imports of triggers.

// One column. A descriptor is five numbers of 32 bits, and so is this class.
@unmanaged
export class Column {
  data: usize;
  dataBytes: i32;
  offsets: usize;
  validity: usize;
  rows: i32;

  isValid(row: i32): bool {
    return !this.validity || (load<u8>(this.validity + (row >> 3)) >> u8(row & 7)) & 1;
  }

  // Where the text of a row begins; that of `rows` is where the last one ends.
  textAt(row: i32): usize {
    return this.data + load<i32>(this.offsets + (usize(row) << 2));
  }
}

// The column behind `columns` others.
export function columnAt(first: usize, columns: i32): Column {
  return changetype<Column>(first + columns * offsetof<Column>());
}

// Memory that is only ever taken, and given back at once before the next batch: --runtime stub has no garbage collector.
export function alloc(bytes: i32, align: i32): usize {
  return heap.alloc(bytes); // aligned to 16 bytes
}

export function reset(): void {
  heap.reset();
}

// What triggers are told and may do. Texts are UTF-8 there, and UTF-16 in AssemblyScript.
export namespace host {
  @external("lightning", "event")
  export declare function event(): i32;
  @external("lightning", "column")
  export declare function column(name: usize, bytes: i32): i32;
  @external("lightning", "argument")
  export declare function argument(i: i32, to: usize, room: i32): i32;
  @external("lightning", "raise")
  export declare function raise(text: usize, bytes: i32): void;
  @external("lightning", "execute")
  export declare function execute(text: usize, bytes: i32): void;
  @external("lightning", "is_null")
  export declare function isNull(which: i32, column: i32): i32;
  @external("lightning", "get_i64")
  export declare function getI64(which: i32, column: i32): i64;
  @external("lightning", "get_text")
  export declare function getText(which: i32, column: i32, to: usize, room: i32): i32;
  @external("lightning", "set_null")
  export declare function setNull(column: i32): void;
  @external("lightning", "set_text")
  export declare function setText(column: i32, text: usize, bytes: i32): void;
}

export const OLD: i32 = 0;
export const NEW: i32 = 1;
export const KEEP_ROW: i32 = 0;
export const SKIP_ROW: i32 = 1;

export function columnNamed(name: string): i32 {
  const text = String.UTF8.encode(name);
  return host.column(changetype<usize>(text), text.byteLength);
}

// A text of at most a kilobyte; null for NULL. Longer ones end the statement.
export function getText(which: i32, column: i32): string | null {
  const room = 1024;
  const to = heap.alloc(room);
  const bytes = host.getText(which, column, to, room);
  if (bytes < 0) return null;
  if (bytes > room) raise("a text has more than " + room.toString() + " bytes");
  return String.UTF8.decodeUnsafe(to, bytes);
}

export function setText(column: i32, value: string): void {
  const text = String.UTF8.encode(value);
  host.setText(column, changetype<usize>(text), text.byteLength);
}

// Ends the statement with an error.
export function raise(message: string): void {
  const text = String.UTF8.encode(message);
  host.raise(changetype<usize>(text), text.byteLength);
}
