// Times as people say them, in the reader's time zone and language.
//
// Not here: what time it is. `now` is an argument everywhere.

const DAY_MS = 24 * 60 * 60 * 1000;

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const dayAndMonth = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const longDay = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const longDate = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });

/** Names the day of a time: equal for two times of one day, wherever the reader is. */
export function dayKey(time: Date): string {
  return `${time.getFullYear()}-${time.getMonth() + 1}-${time.getDate()}`;
}

/** How many midnights lie between two times; negative where `time` is later than `now`. */
export function daysAgo(time: Date, now: Date): number {
  const midnight = (at: Date) => Date.UTC(at.getFullYear(), at.getMonth(), at.getDate());
  return (midnight(now) - midnight(time)) / DAY_MS;
}

/** "14:03" */
export function clockTime(time: Date): string {
  return clock.format(time);
}

/** Everything about a time, for a tooltip. */
export function fullTime(time: Date): string {
  return full.format(time);
}

/** What stands between two days of a conversation. */
export function dayLabel(time: Date, now: Date): string {
  const days = daysAgo(time, now);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return time.getFullYear() === now.getFullYear() ? longDay.format(time) : longDate.format(time);
}

/** A time in few letters, for a list: the time today, the weekday within a week, else the date. */
export function listTime(time: Date, now: Date): string {
  const days = daysAgo(time, now);
  if (days <= 0) return clock.format(time);
  if (days === 1) return "Yesterday";
  if (days < 7) return weekday.format(time);
  return time.getFullYear() === now.getFullYear() ? dayAndMonth.format(time) : date.format(time);
}

/** When somebody was last there. */
export function lastSeen(time: Date, now: Date): string {
  const days = daysAgo(time, now);
  if (days <= 0) return `last seen at ${clock.format(time)}`;
  if (days === 1) return `last seen yesterday at ${clock.format(time)}`;
  return `last seen ${listTime(time, now)}`;
}

/** Milliseconds until the next midnight, when "today" becomes "yesterday". */
export function untilMidnight(now: Date): number {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1).getTime() - now.getTime();
}
