import type { ComponentProps, MouseEvent } from "react";
import { go } from "../hooks/use_place.js";
import { hrefOf, type Place } from "../logic/place.js";

type Props = Omit<ComponentProps<"a">, "href"> & {
  to: Place;
  /** How to go there; by default a step that the browser's back button takes back. */
  by?: (place: Place) => void;
};

/** A link inside the demo: a plain click stays in the page, everything else is the browser's. */
export function PlaceLink({ to, by = go, onClick, ...rest }: Props) {
  return (
    <a {...rest} href={hrefOf(to)} onClick={(event) => (onClick?.(event), staysHere(event) && by(to))} />
  );
}

/** Takes a click from the browser, unless it asks for another tab or window. */
export function staysHere(event: MouseEvent): boolean {
  const elsewhere = event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
  if (elsewhere || event.defaultPrevented) return false;
  event.preventDefault();
  return true;
}
