import { useEffect } from "react";

/**
 * Keeps `--viewport-height` at the height that is really visible. Some phones lay their keyboard over the
 * page instead of making the page smaller, and the composer would stand behind it.
 */
export function useViewportHeight(): void {
  useEffect(() => {
    const viewport = window.visualViewport;
    if (!viewport) return;
    const style = document.documentElement.style;
    const measure = () => {
      // Pinched to a larger size, a part of the page is visible on purpose.
      if (viewport.scale > 1.01) return;
      style.setProperty("--viewport-height", `${viewport.height}px`);
      if (viewport.offsetTop > 0) scrollTo(0, 0);
    };
    measure();
    viewport.addEventListener("resize", measure);
    return () => {
      viewport.removeEventListener("resize", measure);
      style.removeProperty("--viewport-height");
    };
  }, []);
}
