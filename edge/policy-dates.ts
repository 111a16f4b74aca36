/**
 * Dates of HTTP headers, read strictly: what is not one of the three formats of the standard is no date, so that an
 * `Expires` of another making is in the past and not wherever a lenient parser puts it.
 */
// RFC 9110 5.6.7 (HTTP-date)

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const YEARS_AHEAD_MAX = 50;
const YEARS_PER_CENTURY = 100;

const TIME = String.raw`(?<time>\d\d:\d\d:\d\d)`;
const FORMATS = [
  new RegExp(String.raw`^[a-z]{3}, (?<day>\d\d) (?<month>[a-z]{3}) (?<year>\d{4}) ${TIME} gmt$`, "i"),
  new RegExp(String.raw`^[a-z]{6,9}, (?<day>\d\d)-(?<month>[a-z]{3})-(?<year>\d\d) ${TIME} gmt$`, "i"),
  new RegExp(String.raw`^[a-z]{3} (?<month>[a-z]{3}) (?<day>[ \d]\d) ${TIME} (?<year>\d{4})$`, "i"),
];

/**
 * Milliseconds since the epoch, or `undefined` for what is no HTTP-date.
 *
 * @param nowMs on the wall clock: a year of two digits is at most 50 years ahead of it
 */
export function readHttpDate(text: string | null, nowMs: number): number | undefined {
  if (text === null) return undefined;
  for (const format of FORMATS) {
    const groups = format.exec(text)?.groups;
    if (groups !== undefined) return readParts(groups, nowMs);
  }
  return undefined;
}

function readParts(parts: Record<string, string | undefined>, nowMs: number): number | undefined {
  const { day = "", month = "", year = "", time = "" } = parts;
  const monthIndex = MONTHS.indexOf(month.toLowerCase());
  const [hours = 0, minutes = 0, seconds = 0] = time.split(":").map(Number);
  // 60 is a leap second.
  if (monthIndex < 0 || hours > 23 || minutes > 59 || seconds > 60) return undefined;
  const fullYear = year.length === 2 ? fullYearOf(Number(year), nowMs) : Number(year);
  return Date.UTC(fullYear, monthIndex, Number(day), hours, minutes, seconds);
}

function fullYearOf(yearOfCentury: number, nowMs: number): number {
  const thisYear = new Date(nowMs).getUTCFullYear();
  const year = thisYear - (thisYear % YEARS_PER_CENTURY) + yearOfCentury;
  return year > thisYear + YEARS_AHEAD_MAX ? year - YEARS_PER_CENTURY : year;
}
