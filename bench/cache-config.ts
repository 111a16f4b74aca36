/** Options of `bench cache`. */
import {
  choice,
  decimal,
  flag,
  httpUrl,
  integer,
  port,
  type ConfigOf,
  type OptionSet,
} from "#common/options.ts";
import { commaList } from "./comma-list.ts";
import { PROBE_NAMES, type ProbeName } from "./cache-probes.ts";
import { LOADERS, type Loader } from "./cache-load.ts";
import { CACHE_LOADS, type CacheLoad } from "./cache-objects.ts";
import { CLIENTS_MAX, seconds, SECONDS_MAX, shared } from "./config.ts";

const PID_MAX = 4_194_304;

const loaderFound: Loader = Bun.which("wrk") === null ? "own" : "wrk";

/** Options of `bench cache`. */
export const cacheOptions = {
  url: httpUrl({
    table: "top",
    description: "The cache to measure. Its upstream has to be this script's own origin, see --origin-port.",
    default: "http://127.0.0.1:8081",
  }),
  "origin-port": port({
    table: "top",
    description:
      "Port of 127.0.0.1 on which this script's origin listens: the upstream of the cache. 0: any free one.",
    default: 9080,
  }),
  "wait-seconds": decimal({
    table: "top",
    description: "How long to wait until the cache passes requests on to the origin.",
    default: 60,
    min: 0.1,
    max: SECONDS_MAX,
  }),
  paths: choice({
    table: "top",
    description:
      "Below what the objects lie: `/probe/`, for caches of any path, such as an edge with --proxy-all; or `/live/`, where an edge caches without it, by the rules of live streams.",
    choices: ["probe", "live"],
    default: "probe",
  }),
  measure: choice({
    table: "top",
    description: "The probes, the rates, one after the other, or the players of --players alone.",
    choices: ["all", "probes", "rates", "players"],
    default: "all",
  }),
  probes: commaList<ProbeName>({
    description: "Probes to run.",
    default: PROBE_NAMES,
    allowed: `names of probes with commas between them: ${PROBE_NAMES.join(", ")}`,
    read: (name) => PROBE_NAMES.find((known) => known === name),
  }),
  "chunk-ms": integer({
    table: "top",
    description:
      "The origin's pace: time between two of the ten chunks of an object, a third of the time to its first byte, a fifteenth of a hold. Milliseconds.",
    default: 100,
    min: 2,
    max: 10_000,
  }),
  "large-mib": integer({
    table: "top",
    description: "Size of the object of which one reader stalls, in MiB.",
    default: 32,
    min: 1,
    max: 1_024,
  }),
  loads: commaList<CacheLoad>({
    description: "Objects whose hits are counted: a playlist of 2 kB, a segment of 375 kB.",
    default: CACHE_LOADS,
    allowed: `names of objects with commas between them: ${CACHE_LOADS.join(", ")}`,
    read: (name) => CACHE_LOADS.find((known) => known === name),
  }),
  loader: choice({
    table: "top",
    description:
      "What asks for the rates: `wrk`, where it is installed, or this script, which takes more processor time for a request than most caches.",
    choices: LOADERS,
    default: loaderFound,
    defaultText: "`wrk` where it is found in PATH",
  }),
  connections: integer({
    table: "top",
    description: "Connections of the rates, each asking again once it is answered.",
    default: 32,
    min: 1,
    max: CLIENTS_MAX,
  }),
  rounds: integer({
    table: "top",
    description: "Windows of each object and cache, in alternation; medians are taken over them.",
    default: 5,
    min: 1,
    max: 1_000,
  }),
  seconds: seconds("Length of a window, and how long the players are measured.", 2),
  players: integer({
    table: "top",
    description:
      "Low-latency players at once that wait for each part of a live stream of 6 Mbit/s and fetch it. Linux, plain HTTP. 0: none.",
    default: 0,
    min: 0,
    max: CLIENTS_MAX,
  }),
  pid: integer({
    table: "top",
    description:
      "Process of the cache, on this machine (Linux): its processor time, with its children's, and its memory are told. 0: none.",
    default: 0,
    min: 0,
    max: PID_MAX,
  }),
  against: httpUrl({
    table: "top",
    description: "Another cache of the same origin to compare the rates with, round by round.",
    default: "",
    defaultText: "none",
  }),
  "against-pid": integer({
    table: "top",
    description: "Process of the other cache. 0: none.",
    default: 0,
    min: 0,
    max: PID_MAX,
  }),
  insecure: flag({ table: "top", description: "Accept any TLS certificate." }),
  ...shared,
} satisfies OptionSet;
export type CacheConfig = ConfigOf<typeof cacheOptions>;
