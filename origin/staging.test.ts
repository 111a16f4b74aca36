/** Renditions stay in step, none waits for one behind it, and none stops the others for long. */
import { describe, expect, test } from "bun:test";
import { Staging } from "./staging.ts";

function open(): { staging: Staging; done: string[]; add: (number: number, order: number) => void } {
  const staging = new Staging();
  const done: string[] = [];
  const add = (number: number, order: number): void =>
    staging.add({
      number,
      order,
      apply: () => void done.push(`apply ${number} of ${order}`),
      publish: () => void done.push(`publish ${number} of ${order}`),
    });
  return { staging, done, add };
}

describe("Staging", () => {
  test("27: shows the first rendition without waiting for the second, and the second after it", () => {
    const { staging, done, add } = open();
    add(5, 0);
    expect(staging.advance({ fps: 30, reached: [5, 4] })).toBe(true);
    expect(done.splice(0)).toEqual(["apply 5 of 0", "publish 5 of 0"]);
    add(5, 1);
    add(11, 1);
    expect(staging.advance({ fps: 30, reached: [10, 11] })).toBe(true);
    expect(done).toEqual(["apply 5 of 1", "publish 5 of 1"]);
    expect(staging.advance({ fps: 30, reached: [10, 11] })).toBe(false);
  });

  test("27: shows them in the same order when the second's frame comes first", () => {
    const { staging, done, add } = open();
    add(5, 1);
    expect(staging.advance({ fps: 30, reached: [4, 5] })).toBe(false);
    add(5, 0);
    expect(staging.advance({ fps: 30, reached: [5, 5] })).toBe(true);
    expect(done).toEqual(["apply 5 of 0", "publish 5 of 0", "apply 5 of 1", "publish 5 of 1"]);
  });

  test("10: makes all changes of one rendition at one position before it shows the first", () => {
    const { staging, done, add } = open();
    add(5, 0);
    add(5, 0);
    expect(staging.advance({ fps: 30, reached: [5] })).toBe(true);
    expect(done).toEqual(["apply 5 of 0", "apply 5 of 0", "publish 5 of 0", "publish 5 of 0"]);
  });

  test("27: a rendition that lags by more than a frame holds back the first", () => {
    const { staging, done, add } = open();
    add(5, 0);
    expect(staging.advance({ fps: 30, reached: [5, 3] })).toBe(false);
    expect(staging.advance({ fps: 30, reached: [6, 4] })).toBe(true);
    expect(done).toEqual(["apply 5 of 0", "publish 5 of 0"]);
  });

  test("11: a rendition that brings nothing delays the others by half a second", () => {
    const { staging, done, add } = open();
    add(5, 0);
    expect(staging.advance({ fps: 30, reached: [19, 0] })).toBe(false);
    expect(staging.advance({ fps: 30, reached: [20, 0] })).toBe(true);
    expect(done).toEqual(["apply 5 of 0", "publish 5 of 0"]);
  });

  test("flush() shows all that is left", () => {
    const { staging, done, add } = open();
    add(11, 0);
    add(5, 1);
    expect(staging.flush()).toBe(true);
    expect(done).toEqual(["apply 5 of 1", "publish 5 of 1", "apply 11 of 0", "publish 11 of 0"]);
    expect(staging.flush()).toBe(false);
  });
});
