// The files of deploy/container-apps as request bodies, with the values of parameters.env filled in as by envsubst.
import { readFileSync, readdirSync } from "node:fs";
import { parse } from "yaml";

export const folder = new URL("../../../deploy/container-apps/", import.meta.url);

export const read = (name) => readFileSync(new URL(name, folder), "utf8");

export const names = () => readdirSync(folder).filter((name) => name.endsWith(".yaml"));

// parameters.env only has NAME=value lines, some of them in single quotes. It does not have the keeper's tokens, which are
// secrets.
export function parameters() {
  const lines = read("parameters.env").split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map([...lines.map((line) => line.match(/^(\w+)='?(.*?)'?$/).slice(1)), ["KEEP_TOKEN", "0123456789abcdef"], ["SCALE_TOKEN", "fedcba9876543210"]]);
}

export function body(name, values = parameters()) {
  const text = read(name).split("\n").map((line) => (line.trimStart().startsWith("#") ? "" : line)).join("\n");
  return parse(text.replace(/\$\{(\w+)\}/g, (whole, parameter) => {
    if (!values.has(parameter)) throw new Error(`${name} wants ${whole}, which parameters.env does not have`);
    return values.get(parameter);
  }));
}

export const isJob = (arm) => "triggerType" in (arm.properties.configuration ?? {});

export const isApp = (arm) => "activeRevisionsMode" in (arm.properties.configuration ?? {});
