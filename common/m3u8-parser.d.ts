/** Types of m3u8-parser, which ships none: only what edge and bench read. Durations are in seconds. */
declare module "m3u8-parser" {
  export interface ParsedPart {
    readonly uri?: string;
    readonly duration?: number;
    readonly independent?: boolean;
    readonly gap?: boolean;
    readonly byterange?: ParsedByteRange;
  }

  export interface ParsedByteRange {
    readonly length: number;
    readonly offset: number;
  }

  export interface ParsedHint {
    readonly uri?: string;
    readonly type: string;
    readonly byterange?: Partial<ParsedByteRange>;
  }

  export interface ParsedSegment {
    readonly uri?: string;
    readonly duration?: number;
    readonly discontinuity?: boolean;
    readonly dateTimeString?: string;
    /** Milliseconds since 1970. */
    readonly programDateTime?: number;
    readonly byterange?: ParsedByteRange;
    readonly map?: { readonly uri?: string; readonly byterange?: ParsedByteRange };
    readonly parts?: readonly ParsedPart[];
    readonly preloadHints?: readonly ParsedHint[];
  }

  export interface ParsedVariant {
    readonly uri: string;
    readonly attributes?: Readonly<Record<string, unknown>>;
  }

  export interface Manifest {
    readonly version?: number;
    readonly targetDuration?: number;
    readonly partTargetDuration?: number;
    readonly mediaSequence?: number;
    readonly discontinuitySequence?: number;
    readonly endList?: boolean;
    readonly serverControl?: {
      readonly canBlockReload?: boolean;
      readonly partHoldBack?: number;
      readonly holdBack?: number;
      readonly canSkipUntil?: number;
    };
    readonly segments: readonly ParsedSegment[];
    /** The segment that is not complete yet. */
    readonly preloadSegment?: ParsedSegment;
    /** Variants, in a multivariant playlist. */
    readonly playlists?: readonly ParsedVariant[];
  }

  export class Parser {
    readonly manifest: Manifest;
    push(chunk: string): void;
    end(): void;
  }
}
