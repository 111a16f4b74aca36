/** The result of `bench players` as a table for people and as figures for the JSON. */
import { msToSeconds } from "#common/units.ts";
import { verdictOf, type PlayFigures, type PlayResult } from "./play.ts";
import { formatValue, renderColumns, type AddMeasurement } from "./report.ts";
import { Tally } from "./statistics.ts";

const COLUMNS = [
  "player",
  "playlist",
  "",
  "first frame s",
  "frames",
  "a second",
  "left out",
  "stills",
  "still s",
  "longest s",
  "errors",
];
/** Columns of words; the others are numbers. */
const WORD_COLUMNS = new Set([0, 1, 2]);
/** Errors of two places in the stream are of one kind: numbers as long as those of frames, and addresses in memory. */
const PLACES = /0x[0-9a-f]+|\d{5,}/g;

/** One line for each player and playlist. */
export function renderPlays(results: readonly PlayResult[]): string {
  return renderColumns([COLUMNS, ...results.map(renderRow)], WORD_COLUMNS);
}

function renderRow({ play: { player, playlist }, figures }: PlayResult): readonly string[] {
  const { startMs, frames, dropped, stills, stillMs, gapMs, errors, fatal } = figures;
  return [
    player,
    playlist,
    verdictOf(figures),
    startMs === null ? "-" : formatValue(msToSeconds(startMs)),
    formatValue(frames),
    formatValue(framesPerSecond(figures)),
    dropped === null ? "-" : formatValue(dropped),
    formatValue(stills),
    formatValue(msToSeconds(stillMs)),
    formatValue(msToSeconds(gapMs)),
    formatValue(errors.length + fatal.length),
  ];
}

function framesPerSecond({ frames, playedMs }: PlayFigures): number {
  return playedMs === 0 ? 0 : (frames - 1) / msToSeconds(playedMs);
}

/** The same for the JSON. */
export function addPlays(add: AddMeasurement, results: readonly PlayResult[]): void {
  for (const {
    play: { player, playlist },
    figures,
  } of results) {
    const key = `${player}.${playlist}`;
    add(`${key}.verdict`, "what it does at the end", verdictOf(figures));
    add(`${key}.start`, "start to first frame", figures.startMs ?? Number.NaN, "ms");
    add(`${key}.frames`, "frames", figures.frames, "frames");
    add(`${key}.frameRate`, "frames a second", framesPerSecond(figures), "frames/s");
    add(`${key}.dropped`, "frames left out", figures.dropped ?? "not told", "frames");
    add(`${key}.stills`, "times without a new frame for 0.5 s", figures.stills, "times");
    add(`${key}.stillTime`, "those together", figures.stillMs, "ms");
    add(`${key}.gapMax`, "longest time between two frames", figures.gapMs, "ms");
    add(`${key}.errors`, "errors after which it went on", kindsOf(figures.errors).toString());
    add(`${key}.fatal`, "errors after which it did not", kindsOf(figures.fatal).toString());
  }
}

/** What the errors were, one sentence for each player and playlist that had any. */
export function notesOnPlays(results: readonly PlayResult[]): readonly string[] {
  return results.flatMap(({ play: { player, playlist }, figures: { errors, fatal } }) => [
    ...(fatal.length === 0 ? [] : [`${player}, ${playlist}, failed: ${kindsOf(fatal).toString()}`]),
    ...(errors.length === 0 ? [] : [`${player}, ${playlist}, went on after: ${kindsOf(errors).toString()}`]),
  ]);
}

function kindsOf(errors: readonly string[]): Tally {
  const tally = new Tally();
  for (const error of errors) tally.add(error.replaceAll(PLACES, "…"));
  return tally;
}
