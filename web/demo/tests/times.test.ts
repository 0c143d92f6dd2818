import { describe, expect, it } from "vitest";
import {
  clockTime,
  dayKey,
  dayLabel,
  daysAgo,
  lastSeen,
  listTime,
  untilMidnight,
} from "../src/logic/times.js";

const now = new Date("2026-05-10T14:30:00");
const at = (text: string) => new Date(text);

describe("days", () => {
  it("change at midnight where the reader is", () => {
    expect(dayKey(at("2026-05-10T00:00:00"))).toBe(dayKey(at("2026-05-10T23:59:59.999")));
    expect(dayKey(at("2026-05-09T23:59:59.999"))).not.toBe(dayKey(at("2026-05-10T00:00:00")));
    expect(untilMidnight(at("2026-05-10T23:59:59"))).toBe(1_000);
  });

  it("are counted by midnights, not by hours", () => {
    expect(daysAgo(at("2026-05-09T23:59:00"), at("2026-05-10T00:01:00"))).toBe(1);
    expect(daysAgo(at("2026-05-10T00:01:00"), at("2026-05-10T23:59:00"))).toBe(0);
    expect(daysAgo(at("2026-02-28T12:00:00"), at("2026-03-01T12:00:00"))).toBe(1);
  });

  it("are called as people call them", () => {
    expect(dayLabel(at("2026-05-10T00:00:00"), now)).toBe("Today");
    expect(dayLabel(at("2026-05-09T23:00:00"), now)).toBe("Yesterday");
    expect(dayLabel(at("2026-05-01T23:00:00"), now)).not.toContain("2026");
    expect(dayLabel(at("2025-05-01T23:00:00"), now)).toContain("2025");
  });
});

describe("times in a list", () => {
  it("grow shorter in what matters less", () => {
    expect(listTime(at("2026-05-10T09:05:00"), now)).toBe(clockTime(at("2026-05-10T09:05:00")));
    expect(listTime(at("2026-05-09T09:05:00"), now)).toBe("Yesterday");
    const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short" });
    expect(listTime(at("2026-05-06T09:05:00"), now)).toBe(weekday.format(at("2026-05-06T09:05:00")));
    expect(listTime(at("2026-05-03T09:05:00"), now)).toContain("3");
    expect(listTime(at("2024-05-03T09:05:00"), now)).toContain("2024");
  });

  it("of a clock that is ahead of ours are today's", () => {
    const ahead = at("2026-05-11T00:10:00");
    expect(listTime(ahead, at("2026-05-10T23:59:00"))).toBe(clockTime(ahead));
  });

  it("say when somebody was there", () => {
    expect(lastSeen(at("2026-05-10T09:05:00"), now)).toMatch(/^last seen at /);
    expect(lastSeen(at("2026-05-09T09:05:00"), now)).toMatch(/^last seen yesterday at /);
    expect(lastSeen(at("2026-04-09T09:05:00"), now)).toMatch(/^last seen .*9/);
  });
});
