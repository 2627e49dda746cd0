import { test } from "node:test";
import { Player } from "./support/player.js";
import { vectors } from "./support/vectors.js";

const { welcome, scenes } = vectors("scenes");

for (const scene of scenes) test(scene.name, { timeout: 20_000 }, () => Player.play(scene, welcome));
