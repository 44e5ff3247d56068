// A trigger for each row: before insert or update, writes a column `slug` made of the column `title`.
import { KEEP_ROW, NEW, SKIP_ROW, columnNamed, getText, host, raise, reset, setText } from "./lightning";

// Letters and digits in lower case, everything between them as one hyphen.
function slugOf(title: string): string {
  let slug = "";
  let isApart = false;
  for (let i = 0; i < title.length; i++) {
    let c = title.charCodeAt(i);
    if (c >= 65 && c <= 90) c += 32;
    if ((c >= 97 && c <= 122) || (c >= 48 && c <= 57)) {
      if (isApart && slug.length > 0) slug += "-";
      slug += String.fromCharCode(c);
      isApart = false;
    } else {
      isApart = true;
    }
  }
  return slug;
}

export function article(): i32 {
  reset();
  const slugColumn = columnNamed("slug");
  const title = getText(NEW, columnNamed("title"));
  if (title === null) {
    host.setNull(slugColumn);
    return KEEP_ROW;
  }
  if (title.length == 0) return SKIP_ROW;
  const slug = slugOf(title);
  if (slug.length == 0) raise("no slug can be made of \"" + title + "\"");
  setText(slugColumn, slug);
  return KEEP_ROW;
}
