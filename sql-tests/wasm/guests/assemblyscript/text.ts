// A function of texts, called once a batch.
import { Column, columnAt, alloc, reset } from "./lightning";
export { alloc, reset };

function turned(c: u8): u8 {
  const letter = c | 0x20;
  if (letter < 97 || letter > 122) return c;
  return letter < 110 ? c + 13 : c - 13;
}

// Letters of ASCII by 13 places: as many bytes as before, so the offsets stay.
export function rot13(args: usize, rows: i32, result: usize): i32 {
  const from = columnAt(args, 0);
  const out = columnAt(result, 0);
  const data = heap.alloc(from.dataBytes);
  for (let i = 0; i < from.dataBytes; i++) {
    store<u8>(data + i, turned(load<u8>(from.data + i)));
  }
  out.data = data;
  out.dataBytes = from.dataBytes;
  out.offsets = from.offsets;
  out.validity = from.validity;
  out.rows = rows;
  return 0;
}

// Texts before the first of the character that the second argument begins with, from the same bytes: only offsets are new. Without that
// character, and without a second argument, the whole text. The function is not STRICT.
export function head(args: usize, rows: i32, result: usize): i32 {
  const from = columnAt(args, 0);
  const mark = columnAt(args, 1);
  const out = columnAt(result, 0);
  const data = heap.alloc(from.dataBytes);
  const offsets = heap.alloc((rows + 1) << 2);
  let at: i32 = 0;
  for (let row = 0; row < rows; row++) {
    store<i32>(offsets + (usize(row) << 2), at);
    const begin = from.textAt(row);
    let end = from.textAt(row + 1);
    if (mark.isValid(row) && mark.textAt(row) < mark.textAt(row + 1)) {
      const wanted = load<u8>(mark.textAt(row));
      for (let p = begin; p < end; p++) {
        if (load<u8>(p) == wanted) end = p;
      }
    }
    memory.copy(data + at, begin, end - begin);
    at += i32(end - begin);
  }
  store<i32>(offsets + (usize(rows) << 2), at);
  out.data = data;
  out.dataBytes = at;
  out.offsets = offsets;
  out.validity = from.validity;
  out.rows = rows;
  return 0;
}
