// All panels, in the order in which they are offered.

import { answer } from "./answer.js";
import { attend } from "./attend.js";
import { fill } from "./fill.js";
import { generate } from "./generate.js";
import { masks } from "./masks.js";
import { minimal } from "./minimal.js";
import { nearest } from "./nearest.js";
import { predict } from "./predict.js";
import { senses } from "./senses.js";
import { tag } from "./tag.js";
import { tokens } from "./tokens.js";
import { translate } from "./translate.js";

export const PANELS = [predict, tag, answer, translate, generate, fill, masks, nearest, senses, minimal, attend, tokens];
