import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useRef } from "react";

interface ListProps<Item> {
  label: string;
  items: readonly Item[];
  keyOf: (item: Item) => string;
  row: (item: Item) => ReactNode;
  /** Called when the end comes into sight, while there is more. */
  more?: (() => void) | undefined;
  /** Keep to the end while one is there, as a stream does. */
  follows?: boolean;
  rowHeight?: number;
}

/** A list of any length, of which only what is seen is in the page. */
export function List<Item>({ label, items, keyOf, row, more, follows, rowHeight = 44 }: ListProps<Item>) {
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: items.length,
    getScrollElement: () => box.current,
    estimateSize: () => rowHeight,
    overscan: 8,
    getItemKey: (index) => keyOf(items[index] as Item),
  });
  const shown = virtual.getVirtualItems();
  const last = shown.at(-1)?.index ?? -1;
  useEffect(() => {
    if (more && last >= items.length - 20) more();
  }, [more, last, items.length]);
  useEffect(() => {
    if (follows && items.length) virtual.scrollToIndex(items.length - 1, { align: "end" });
  }, [follows, items.length, virtual]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
    <div ref={box} className="list" tabIndex={0} role="region" aria-label={label}>
      <ul style={{ height: virtual.getTotalSize() }}>
        {shown.map(({ index, key, start }) => (
          <li
            key={key}
            data-index={index}
            ref={virtual.measureElement}
            style={{ transform: `translateY(${start}px)` }}
            aria-setsize={items.length}
            aria-posinset={index + 1}
          >
            {row(items[index] as Item)}
          </li>
        ))}
      </ul>
    </div>
  );
}
