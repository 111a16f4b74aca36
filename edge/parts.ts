/**
 * The parts of an edge and how they hang together, without socket, lease or process: upstream, store, fills,
 * playlist tails, relays, counts. `main.ts` puts a server in front of them, tests put what they like.
 */
import type { Clock } from "#common/clock.ts";
import { HeldBudget } from "#common/held-requests.ts";
import type { Log } from "#common/log.ts";
import { boundHeldRequests, readOpenFilesMax } from "#common/open-files.ts";
import { MEBIBYTE } from "#common/units.ts";
import { Admission } from "./admission.ts";
import { type EdgeConfig, HELD_REQUESTS_MAX, readUpstreamWeights } from "./config.ts";
import { Counters, EgressRate } from "./counters.ts";
import { Fills } from "./fills.ts";
import { LiveCache } from "./live.ts";
import { wantedOf } from "./live-wanted.ts";
import { Playlists } from "./playlists.ts";
import type { MediaSource } from "./prefetches.ts";
import { ProxyCache } from "./proxy.ts";
import { RelayCounters } from "./relay.ts";
import { SegmentHosts, withoutHosts } from "./segment-hosts.ts";
import { Store } from "./store.ts";
import { StoreGarbage } from "./store-garbage.ts";
import { Streams } from "./streams.ts";
import { readTarget } from "./targets.ts";
import { fetchWithRetry } from "./upstream-retry.ts";
import { Upstream } from "./upstream.ts";
import { CountedViewers, type Viewers } from "./viewers.ts";

export interface EdgeParts {
  readonly counters: Counters;
  readonly relayCounters: RelayCounters;
  readonly egress: EgressRate;
  readonly upstream: Upstream;
  readonly store: Store;
  readonly fills: Fills;
  /** Of all playlists together. */
  readonly budget: HeldBudget;
  readonly segmentHosts: SegmentHosts;
  readonly playlists: Playlists;
  readonly viewers: Viewers;
  readonly admission: Admission;
  readonly live: LiveCache;
  readonly streams: Streams;
  /** Only with `--proxy-all`. */
  readonly proxy: ProxyCache | undefined;
}

type AdmissionConfig = Pick<
  EdgeConfig,
  "viewerLimit" | "viewerMax" | "streamViewerLimit" | "streamViewerMax" | "refuseStatus"
>;

export interface EdgePartsOptions {
  readonly config: Pick<EdgeConfig, "upstream" | "cacheMib" | "publicUrl" | "proxyAll"> &
    AdmissionConfig &
    Partial<Pick<EdgeConfig, "upstreamWeight">>;
  readonly clock: Clock;
  readonly log: Log;
  /** Who counts the viewers. Default: this process by itself. */
  readonly viewers?: Viewers;
  /** True in one of several processes of an edge: what is true of all of them is told by the one that started it. */
  readonly isWorker?: boolean;
}

/** Makes all parts. `upstream` and `streams` are open and want closing. */
export function createParts({ config, clock, log, ...given }: EdgePartsOptions): EdgeParts {
  const counters = new Counters();
  const relayCounters = new RelayCounters();
  const garbage = new StoreGarbage({ clock });
  const store = new Store({
    bytesMax: Math.floor(config.cacheMib * MEBIBYTE),
    clock,
    onStored: (bytes) => garbage.note(bytes),
  });
  const weights = readUpstreamWeights(config);
  const budgetOfTexts = {
    bytesMax: store.bytesMax,
    // Slow clients give way to playlists, too.
    reserve: (bytes: number) => fills.reserve(bytes),
    release: (bytes: number) => fills.release(bytes),
  };
  const upstream = new Upstream({ urls: config.upstream, weights, clock, log, budget: budgetOfTexts });
  const fills = new Fills({ upstream, store, clock });
  const heldRequests = { countMax: HELD_REQUESTS_MAX, openFilesMax: readOpenFilesMax() };
  const limitsLog = given.isWorker === true ? undefined : log;
  const budget = new HeldBudget(boundHeldRequests({ ...heldRequests, log: limitsLog }));
  const segmentHosts = new SegmentHosts(config.publicUrl);
  const proxy = config.proxyAll
    ? new ProxyCache({
        store,
        fills,
        counters,
        clock,
        log,
        nodeId: crypto.randomUUID(),
        upstreamUrls: upstream.urls,
        tails: {
          offer: (key, answer) => void playlists.offer(key, answer),
          noteUse: (url) => playlists.prefetches.noteUse(url),
          holdMsMax: (url) => playlists.holdMsMax(url),
        },
      })
    : undefined;
  // What the hub has written is for its workers' viewers, and foreign URIs are where their upstream wants them.
  const isTaken = config.proxyAll || given.isWorker === true;
  const playlists = new Playlists({
    async fetch(path, holdMsMax) {
      const answer = await fetchWithRetry({ upstream, clock, path, holdMsMax });
      return isTaken ? answer : withoutHosts(answer, path);
    },
    clock,
    budget,
    bytes: fills,
    keeper: store.lending,
    media: proxy?.media ?? createMediaSource({ fills, store, segmentHosts, clock }),
    rewrite: (text, path) => segmentHosts.rewrite(text, path),
  });
  const viewers = given.viewers ?? new CountedViewers({ clock, viewersMax: config.viewerMax });
  const admission = new Admission({ ...config, viewers });
  const refuseStatus = Number(config.refuseStatus);
  return {
    counters,
    relayCounters,
    egress: new EgressRate(counters, clock),
    upstream,
    store,
    fills,
    budget,
    segmentHosts,
    playlists,
    viewers,
    admission,
    live: new LiveCache({ store, fills, playlists, viewers, counters, clock, log }),
    proxy,
    streams: new Streams({ upstream, clock, log, counters, relayCounters, viewers, admission, refuseStatus }),
  };
}

/** Media of the contract's playlists, which lie beside them. What a playlist names elsewhere is left to viewers. */
function createMediaSource({
  fills,
  store,
  segmentHosts,
  clock,
}: Pick<EdgeParts, "fills" | "store" | "segmentHosts"> & { readonly clock: Clock }): MediaSource {
  return {
    resolve(playlistPath, uri) {
      const path = playlistPath.slice(0, playlistPath.lastIndexOf("/") + 1) + uri;
      // What other edges are asked for need not be here before somebody asks.
      return readTarget(path)?.kind === "media" && segmentHosts.isOurs(path) ? path : undefined;
    },
    fetch(path, waiting) {
      if (store.getFresh(path, clock.monotonicMs()) !== undefined) return undefined;
      const fill = fills.refresh(wantedOf({ path, kind: "media", ...waiting }));
      return fill?.finished.then(
        () => fill.head.status !== 200 || store.getAny(path) !== undefined,
        // A failure is told to clients who ask for it. One that is given up is too large to be fetched for nobody.
        () => !fill.isGivenUp,
      );
    },
    wasAnswered: (path) => (store.getAny(path)?.ready.size ?? 0) > 0,
  };
}
