/**
 * `bench players`: players that are not ours on both playlists of a stream, for as long as one likes. It tells who plays,
 * how evenly, and what each complained of.
 */
import { existsSync } from "node:fs";
import { describeError, StartError } from "#common/errors.ts";
import { secondsToMs } from "#common/units.ts";
import { findChromium } from "./browser.ts";
import type { BenchContext } from "./context.ts";
import {
  isPagePlay,
  isProgramPlay,
  PLAYERS,
  PLAYLISTS,
  PROGRAM_PLAYERS,
  type Play,
  type PlayerName,
  type PlayFigures,
  type PlayResult,
} from "./play.ts";
import { PlayerPage } from "./player-page.ts";
import { PlayerProcess } from "./player-process.ts";
import { PLAYER_PROGRAMS } from "./player-programs.ts";
import type { PlayersConfig } from "./players-config.ts";
import { addPlays, notesOnPlays, renderPlays } from "./players-table.ts";
import { collectMeasurements, startProgress, type Findings } from "./report.ts";
import { waitFor } from "./wait.ts";

/** How often the players in the browser are asked how they are. Milliseconds. */
const LOOK_MS = 5_000;

/** Plays until the time is over. Throws StartError where there is nobody to play, or not who was named. */
export async function runPlayers(context: BenchContext<PlayersConfig>): Promise<Findings> {
  const { config, output, signal } = context;
  const { players, untried } = choosePlayers(config);
  for (const note of untried) output.progress(note);
  const plays = players.flatMap((player) => PLAYLISTS.map((playlist) => toPlay(player, playlist, config)));
  const results: PlayResult[] = [];
  for (const together of config.inTurn ? plays.map((play) => [play]) : [plays]) {
    if (!signal.aborted) results.push(...(await playTogether(together, context)));
  }
  const { measurements, add } = collectMeasurements();
  addPlays(add, results);
  return { measurements, text: renderPlays(results), notes: [...untried, ...notesOnPlays(results)] };
}

function toPlay(player: PlayerName, playlist: Play["playlist"], { url }: PlayersConfig): Play {
  return { player, playlist, url: new URL(playlist, url.endsWith("/") ? url : `${url}/`).href };
}

/** Who plays, and a sentence for each who does not. */
function choosePlayers(config: PlayersConfig): {
  readonly players: readonly PlayerName[];
  readonly untried: readonly string[];
} {
  const named = config.players.flat();
  const missing = new Map<PlayerName, string>();
  for (const player of PLAYERS) {
    const what = whatIsMissing(player, config);
    if (what !== undefined) missing.set(player, what);
  }
  for (const player of named) {
    const what = missing.get(player);
    if (what !== undefined)
      throw new StartError("no-player", `Cannot play with ${player} (--players): ${what}`);
  }
  const players = named.length > 0 ? named : PLAYERS.filter((player) => !missing.has(player));
  const untried = [...missing].map(([player, what]) => `NOT TRIED: ${player}: ${what}`);
  if (players.length === 0) throw new StartError("no-players", `No player found. ${untried.join("; ")}`);
  return { players, untried: named.length > 0 ? [] : untried };
}

function whatIsMissing(player: PlayerName, { chromium, shaka }: PlayersConfig): string | undefined {
  const program = PROGRAM_PLAYERS.find((known) => known === player);
  if (program !== undefined) {
    const { program: name, debianPackage } = PLAYER_PROGRAMS[program];
    return Bun.which(name) === null ? `no ${name} in PATH (Debian: ${debianPackage})` : undefined;
  }
  if (player === "shaka" && shaka === "") return "no build of it given (--shaka)";
  if (player === "shaka" && !existsSync(shaka)) return `no such file: ${shaka} (--shaka)`;
  try {
    findChromium(chromium);
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}

/** Has all of them play at once. */
async function playTogether(
  plays: readonly Play[],
  context: BenchContext<PlayersConfig>,
): Promise<readonly PlayResult[]> {
  const { config, clock, signal } = context;
  await using ending = new AsyncDisposableStack();
  const inPage = plays.filter(isPagePlay);
  const page = inPage.length === 0 ? undefined : ending.use(await PlayerPage.open(inPage, config));
  const programs = plays.filter(isProgramPlay).map((play) => ({
    play,
    process: ending.use(new PlayerProcess(PLAYER_PROGRAMS[play.player], { url: play.url, clock })),
  }));
  let ofPage: readonly PlayFigures[] = [];
  const read = (): readonly PlayResult[] => [
    ...programs.map(({ play, process }) => ({ play, figures: process.figures })),
    ...inPage.flatMap((play, index) =>
      ofPage[index] === undefined ? [] : [{ play, figures: ofPage[index] }],
    ),
  ];
  ending.defer(startProgress({ ...context, describe: () => describePlays(read()) }));
  const endMs = clock.monotonicMs() + secondsToMs(config.seconds);
  do {
    await waitFor({ clock, signal, msMax: Math.min(LOOK_MS, endMs - clock.monotonicMs()) });
    ofPage = (await page?.read()) ?? [];
  } while (clock.monotonicMs() < endMs && !signal.aborted);
  return read();
}

function describePlays(results: readonly PlayResult[]): string {
  return results
    .map(
      ({ play: { player }, figures: { frames, fatal } }) =>
        `${player} ${frames}${fatal.length > 0 ? "!" : ""}`,
    )
    .join("  ");
}
