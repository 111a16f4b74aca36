/**
 * Whose tables of segment hosts an edge goes by that has leases from several origins: those of the first, in the
 * operator's order, whose lease it holds. Origins make theirs on their own; edges with the same order go by the same.
 */
import type { LeaseSegmentHosts } from "#common/formats/lease.ts";
import type { SegmentHosts } from "./segment-hosts.ts";

export class SegmentOrigins {
  readonly #hosts: Pick<SegmentHosts, "adopt">;
  /** By place of the origin, the newest table heard over the lease at hand. */
  readonly #newest: (LeaseSegmentHosts | undefined)[] = [];

  constructor(hosts: Pick<SegmentHosts, "adopt">) {
    this.#hosts = hosts;
  }

  /** The origin at `place`, from 0, has told of a table. */
  hear(place: number, table: LeaseSegmentHosts): void {
    this.#newest[place] = table;
    if (this.#followed() === place) this.#hosts.adopt(table);
  }

  /** The lease of the origin at `place` is lost. What it told holds until another one tells something else. */
  lose(place: number): void {
    const before = this.#followed();
    this.#newest[place] = undefined;
    const now = this.#followed();
    const table = this.#newest[now];
    if (now !== before && table !== undefined) this.#hosts.adopt(table);
  }

  /** -1 while none has told anything. */
  #followed(): number {
    return this.#newest.findIndex((table) => table !== undefined);
  }
}
