/** A document for React, before its import. The rest of the globals stays Node's. */
import { Window } from "happy-dom";

const window = new Window({ url: "http://localhost/" });
const globals = globalThis as Record<string, unknown>;
globals.window = window;
globals.document = window.document;
globals.navigator ??= window.navigator; // Node has its own from 21 on
globals.HTMLElement = window.HTMLElement;
globals.HTMLIFrameElement = window.HTMLIFrameElement;
globals.MutationObserver = window.MutationObserver;
globals.IS_REACT_ACT_ENVIRONMENT = true;
