/** Options of `bench players`. */
import { flag, httpUrl, text, type ConfigOf, type OptionSet } from "#common/options.ts";
import { commaList } from "./comma-list.ts";
import { chromium, seconds, shared } from "./config.ts";
import { PLAYERS, type PlayerName } from "./play.ts";

/** Options of `bench players`. */
export const playersOptions = {
  url: httpUrl({
    table: "top",
    description: "Folder of the stream, where index.m3u8 and ts.m3u8 are: an edge's or an origin's.",
    default: "http://127.0.0.1:8081/live/canvas/",
  }),
  seconds: seconds("How long to play.", 600),
  players: commaList<PlayerName>({
    description:
      "Who plays: programs, and in Chromium hls.js as it comes, Chromium's own HLS and Shaka. One that is named has to be there.",
    default: [],
    defaultText: "all that are found",
    allowed: `names of players with commas between them: ${PLAYERS.join(", ")}`,
    read: (item) => PLAYERS.find((known) => known === item),
  }),
  "in-turn": flag({
    table: "top",
    description: "One after the other, each on one playlist for --seconds, instead of all at once.",
  }),
  shaka: text({
    table: "top",
    description: "Build of Shaka Player to play with: its shaka-player.compiled.js.",
    valueName: "<file>",
    default: "",
    defaultText: "none",
    pattern: /^[^\0]+$/,
    allowed: "a path",
  }),
  chromium,
  ...shared,
} satisfies OptionSet;
export type PlayersConfig = ConfigOf<typeof playersOptions>;
