import { useTheme } from "../hooks/use_theme.js";
import { IconButton } from "./icon_button.js";

export function ThemeToggle() {
  const { theme, toggle } = useTheme();
  return theme === "dark" ? (
    <IconButton label="Switch to light theme" icon="sun" onClick={toggle} />
  ) : (
    <IconButton label="Switch to dark theme" icon="moon" onClick={toggle} />
  );
}
