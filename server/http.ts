/** The server's own HTTP routes, beside those that every node has: the feeds, the canvas as a picture, and figures. */
import { mayUseCluster } from "#common/cluster-access.ts";
import type { ProofChecker } from "#common/cluster-auth.ts";
import type { Clock } from "#common/clock.ts";
import { createNodeApp, type NodeApp, type NodeAppOptions } from "#common/node-http.ts";
import type { CanvasImage } from "./canvas-image.ts";
import type { ServerStats } from "./stats.ts";

export interface ServerAppOptions extends NodeAppOptions {
  readonly image: CanvasImage;
  readonly stats: () => ServerStats;
  /** Each makes the response for one more reader. */
  readonly feeds: { readonly mp4: () => Response; readonly ts: () => Response };
  readonly proofs: ProofChecker;
  /** Called for each request for a feed that is answered with 403. */
  readonly onForbidden: () => void;
  readonly clock: Clock;
}

/** The application of the server's HTTP port. */
export function createServerApp(options: ServerAppOptions): NodeApp {
  const { image, stats, feeds } = options;
  const app = createNodeApp(options);
  const headers = { "cache-control": "no-store" };
  app.get("/stats.json", (context) => context.json(stats(), 200, headers));
  app.get("/canvas.png", async (context) =>
    // The type of a response's body wants bytes of an unshared buffer, which these are: the copy is ours.
    context.body((await image.png()) as Uint8Array<ArrayBuffer>, 200, {
      ...headers,
      "content-type": "image/png",
    }),
  );
  addFeed(app, { ...options, path: "/feed.mp4", open: feeds.mp4 });
  addFeed(app, { ...options, path: "/feed.ts", open: feeds.ts });
  return app;
}

interface FeedRoute extends Pick<ServerAppOptions, "proofs" | "clock" | "onForbidden"> {
  readonly path: string;
  readonly open: () => Response;
}

/** A feed, for this host and whoever proves the cluster secret. HEAD opens no stream. */
function addFeed(app: NodeApp, { path, open, proofs, clock, onForbidden }: FeedRoute): void {
  app.get(path, (context) => {
    const { headers } = context.req.raw;
    const { address } = context.env;
    if (!mayUseCluster(proofs, { headers, address, purpose: "feed", wallMs: clock.wallMs() })) {
      onForbidden();
      return context.text("The feed is open to this host and to nodes that prove the cluster secret\n", 403);
    }
    return context.req.method === "HEAD" ? context.body(null, 200, { "cache-control": "no-store" }) : open();
  });
}
