/** Types of codem-isoboxer, which ships none: only what tests read. */
declare module "codem-isoboxer" {
  export interface IsoBox {
    readonly type: string;
    readonly size: number;
    readonly boxes?: readonly IsoBox[];
    readonly default_sample_duration?: number;
    readonly baseMediaDecodeTime?: number;
    readonly data_offset?: number;
    readonly samples?: readonly {
      /** Where the box gives one to each sample. */
      readonly sample_duration?: number;
      readonly sample_flags: number;
      readonly sample_size: number;
      readonly sample_composition_time_offset?: number;
    }[];
  }

  export interface IsoFile {
    readonly boxes: readonly IsoBox[];
    /** The first box of the type at any depth. */
    fetch(type: string): IsoBox | undefined;
    fetchAll(type: string): readonly IsoBox[];
  }

  export function parseBuffer(buffer: ArrayBufferLike): IsoFile;
}
