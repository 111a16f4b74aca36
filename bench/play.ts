/** One player on one playlist: what is played, and what came of it. */
import { STILL_MS, type FrameFigures } from "./frame-watch.ts";

/** Players of `bench players` that are programs, and those that play in Chromium. */
export const PROGRAM_PLAYERS = ["ffmpeg", "ffplay", "gstreamer"] as const;
export const PAGE_PLAYERS = ["hls.js", "chromium", "shaka"] as const;
export const PLAYERS = [...PROGRAM_PLAYERS, ...PAGE_PLAYERS] as const;
export type ProgramPlayer = (typeof PROGRAM_PLAYERS)[number];
export type PagePlayer = (typeof PAGE_PLAYERS)[number];
export type PlayerName = (typeof PLAYERS)[number];

/** Both multivariant playlists of a stream. */
export const PLAYLISTS = ["index.m3u8", "ts.m3u8"] as const;

export interface Play<Player extends PlayerName = PlayerName> {
  readonly player: Player;
  readonly playlist: (typeof PLAYLISTS)[number];
  /** URL of the playlist. */
  readonly url: string;
}

export interface PlayFigures extends FrameFigures {
  /** Frames that it left out; null where it does not tell. */
  readonly dropped: number | null;
  /** Errors after which it went on, and those after which it did not. */
  readonly errors: readonly string[];
  readonly fatal: readonly string[];
  /** True of a program that has ended by itself. */
  readonly isOver: boolean;
}

export interface PlayResult {
  readonly play: Play;
  readonly figures: PlayFigures;
}

export function isProgramPlay(play: Play): play is Play<ProgramPlayer> {
  return PROGRAM_PLAYERS.some((known) => known === play.player);
}

export function isPagePlay(play: Play): play is Play<PagePlayer> {
  return PAGE_PLAYERS.some((known) => known === play.player);
}

/** A player without a frame for this long at the end does not play any more. */
const STOPPED_MS = 10 * STILL_MS;

/** `plays`, or what it does instead; `went on` where it plays at the end although an error should have ended it. */
export function verdictOf({ fatal, isOver, startMs, sinceFrameMs }: PlayFigures): string {
  const isPlaying = !isOver && startMs !== null && sinceFrameMs <= STOPPED_MS;
  if (fatal.length > 0) return isPlaying ? "went on" : "failed";
  if (isPlaying) return "plays";
  return startMs === null ? "no picture" : "stopped";
}
