// Server-sent events, as far as frames need them: the data of each, out of text that is cut anywhere.
//
// Not here: bytes. Whoever decodes them holds back half a character.

/** Characters of the largest event: 16 Mi, far above any frame. */
const EVENT_CHARS_MAX = 16 * 1024 * 1024;

/** Takes a body's pieces, one call each, and tells the data of whole events. Throws at one without an end. */
export function eventReader(take: (data: string) => void): (text: string) => void {
  /** The line that has begun. */
  let line = "";
  /** The data of the event that has begun, each line of it with its end. */
  let data = "";
  /** A line feed that comes next belongs to a carriage return that has ended the line already. */
  let afterReturn = false;

  const lineEnds = () => {
    const [field] = /^data(:|$) ?/.exec(line) ?? [];
    if (field) {
      data += `${line.slice(field.length)}\n`;
    } else if (!line && data) {
      take(data.slice(0, -1));
      data = "";
    }
    line = "";
  };

  return (text) => {
    const pieces = text.slice(afterReturn && text[0] === "\n" ? 1 : 0).split(/\r\n?|\n/);
    if (text) afterReturn = text.endsWith("\r");
    for (const [at, piece] of pieces.entries()) {
      if (at) lineEnds();
      line += piece;
      if (line.length + data.length > EVENT_CHARS_MAX) throw new Error("an event of more than 16 MiB came");
    }
  };
}
