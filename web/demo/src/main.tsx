// The demo chat. Where things are: `logic/` decides, without React or a browser; `hooks/` subscribe; `parts/`
// draw.

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./parts/app.js";
import "./styles/global.css";

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}
