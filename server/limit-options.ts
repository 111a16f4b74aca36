/** Options that bound what one player can take, part of the server's configuration. */
import { addressRanges, choice, decimal, integer, type OptionSet } from "#common/options.ts";

/** Highest `--connections-max`: about 2 kB of address space each. */
export const CONNECTIONS_MAX = 100_000;

export const limitOptions = {
  "connections-max": integer({
    table: "server",
    description:
      "Players' connections at once, in all. Further ones are told so and closed. Where the system allows fewer open files, it is lowered to what they allow, with a warning. 0: as many as they allow.",
    default: 10_000,
    min: 0,
    max: CONNECTIONS_MAX,
  }),
  "connections-per-prefix": integer({
    table: "server",
    description:
      "Connections at once from one prefix of addresses (`--prefix-v4`, `--prefix-v6`). Further ones are told so and closed. 0: no limit.",
    default: 0,
    min: 0,
    max: CONNECTIONS_MAX,
  }),
  "mbit-per-prefix": decimal({
    table: "server",
    description:
      "Mbit/s taken from one prefix of addresses, all its connections together. What is beyond waits at the player's; nothing is lost. 0: no limit.",
    default: 0,
    min: 0,
    max: 1_000_000,
  }),
  "fair-share": choice({
    table: "server",
    description:
      "What gets equal parts while more comes than the server can paint: each `prefix`, however many connections it has, or each `connection`.",
    choices: ["prefix", "connection"],
    default: "prefix",
  }),
  "prefix-v4": integer({
    table: "server",
    description: "Leading bits of an IPv4 address by which one player is told from another.",
    default: 32,
    min: 1,
    max: 32,
  }),
  "prefix-v6": integer({
    table: "server",
    description:
      "The same of an IPv6 address. One host usually has a whole /64 to itself, one household a /56.",
    default: 64,
    min: 1,
    max: 128,
  }),
  "proxy-protocol-from": addressRanges({
    table: "server",
    description:
      "Load balancers in front of the players' port: connections from there must begin with a header of the PROXY protocol, version 1 or 2, and count as the player's that it names; without one they are closed. From anywhere else such a header is a line that is no command.",
    defaultText: "none (off)",
  }),
  "idle-seconds": integer({
    table: "server",
    description: "Seconds after which a connection that has sent nothing is told so and closed. 0: never.",
    default: 0,
    min: 0,
    max: 604_800,
  }),
} satisfies OptionSet;
