// How live values are written: the same as the server writes them (web/format.py).

export function age(ms) {
  const seconds = Math.max(Math.floor(ms / 1000), 0);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${String(seconds % 60).padStart(2, "0")}s`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h ${String(Math.floor(seconds / 60) % 60).padStart(2, "0")}m`;
  return `${Math.floor(seconds / 86_400)}d`;
}

export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 999.5) return `${ms < 9.95 ? ms.toFixed(1) : Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)} s`;
  return age(ms);
}

export function tokens(number) {
  if (number >= 999_500) return `${(number / 1e6).toFixed(number < 99.95e6 ? 1 : 0)}M`;
  if (number >= 9_999.5) return `${(number / 1000).toFixed(number < 99_950 ? 1 : 0)}k`;
  return number.toLocaleString("en");
}

export function money(text) {
  if (text === null || text === undefined || text === "") return "–";
  const value = Number(text);
  if (!value) return "$0";
  if (Math.abs(value) >= 1) return `$${value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  const digits = Math.min(2 - Math.floor(Math.log10(Math.abs(value))), 8);
  return `$${value.toFixed(digits).replace(/(\.\d\d\d*?)0+$/, "$1")}`;
}

// What was said, where a value is JSON around one piece of text.
export function gist(text) {
  if (!/^[{["]/.test(text) || text.length > 2000) return text;
  try {
    const leaves = [];
    const walk = (value) => (value && typeof value === "object" ? Object.values(value).forEach(walk) : leaves.push(value));
    walk(JSON.parse(text));
    return leaves.length === 1 && typeof leaves[0] === "string" && leaves[0].trim() ? leaves[0] : text;
  } catch {
    return text;
  }
}

// What renders as nothing or turns text around: the same characters as in web/format.py, spelled out.
const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e01ef}]/gu;

export function revealed(text) {
  return String(text ?? "").replace(HIDDEN, (c) => `[U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);
}
