/** Options of `bench compare`. */
import { decimal, integer, list, text, ValueError, type ConfigOf, type OptionSet } from "#common/options.ts";
import { commaList } from "./comma-list.ts";
import { LOAD_NAMES, type LoadName } from "./compare-loads.ts";
import { CLIENTS_MAX, seconds, SECONDS_MAX, seed, shared, sockets, threads } from "./config.ts";
import type { ServerCommand } from "./server-process.ts";

/** Options of `bench compare`. */
export const compareOptions = {
  server: list<ServerCommand>(
    {
      table: "top",
      description:
        "A server to compare with: its name and the command that starts it, in which {port} stands for the TCP port of 127.0.0.1 that it is to listen on. May be given several times. It is ready once it has answered SIZE, with the size of our canvas: one that only reads has to answer that too.",
      default: [],
      defaultText: "none",
    },
    { allowed: "name=command with {port}", valueName: "<name>=<command>", read: readServerCommand },
  ),
  own: text({
    table: "top",
    description: "Starts our server in another way; a command with {port}.",
    valueName: "<command>",
    default: "",
    defaultText: "this repository's server role alone, with one frame a second and every limit on",
    pattern: /\{port\}/,
    allowed: "a command with {port}",
  }),
  loads: commaList<LoadName>({
    description: `What to flood with, in this order: ${LOAD_NAMES.join(", ")}.`,
    default: LOAD_NAMES,
    allowed: `names of loads with commas between them: ${LOAD_NAMES.join(", ")}`,
    read: (name) => LOAD_NAMES.find((known) => known === name),
  }),
  connections: commaList({
    description: "Numbers of connections, each a comparison of its own; the load `mixed` always has 8.",
    default: [1, 2, 4, 8],
    allowed: `whole numbers from 1 to ${CLIENTS_MAX} with commas between them`,
    read(digits) {
      const value = Number(digits);
      return /^\d+$/.test(digits) && value >= 1 && value <= CLIENTS_MAX ? value : undefined;
    },
  }),
  rounds: integer({
    table: "top",
    description: "Windows of each server, in alternation; medians are taken over them.",
    default: 5,
    min: 1,
    max: 1_000,
  }),
  seconds: seconds("Length of a window.", 2),
  "warm-up-seconds": decimal({
    table: "top",
    description: "Flood of each server before its first window of a load and a number of connections.",
    default: 1,
    min: 0,
    max: SECONDS_MAX,
  }),
  pixels: integer({
    table: "top",
    description: "Different pixels that a pattern paints before it repeats; 0: the whole canvas.",
    default: 400_000,
    min: 0,
    max: 40_000_000,
  }),
  seed,
  threads,
  sockets,
  ...shared,
} satisfies OptionSet;
export type CompareConfig = ConfigOf<typeof compareOptions>;

function readServerCommand(value: string): ServerCommand {
  const [, name, command] = /^([^=\s]+)=(.*\{port\}.*)$/s.exec(value) ?? [];
  if (name === undefined || command === undefined) throw new ValueError("name=command with {port}");
  return { name, command };
}
