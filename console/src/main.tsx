import { createRoot } from "react-dom/client";
import { App } from "./App";
import { farewell, kept } from "./api/session";
import { signIn } from "./api/signIn";
import "./styles/index.css";

const root = document.getElementById("root");
const bearer = kept();
if (bearer) await signIn(bearer).catch((error: Error) => farewell.set(error.message));
if (root) createRoot(root).render(<App />);
