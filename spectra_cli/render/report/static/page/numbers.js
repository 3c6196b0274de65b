// Numbers as the other forms of spectra write them, and arrays as they come in the page.

const DATA = JSON.parse(document.getElementById("data").textContent);

const general = (value, digits) => {
  if (!Number.isFinite(value)) return "-";
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const power = Number(exponent);
  if (power >= -4 && power < digits) return String(Number(value.toPrecision(digits)));
  const sign = power < 0 ? "-" : "+";
  return `${Number(mantissa)}e${sign}${String(Math.abs(power)).padStart(2, "0")}`;
};

// `with_error` of core.words.numbers: two digits of an error that starts with 1 or 2, else one
const withError = (value, error, digits = 4) => {
  if (!Number.isFinite(value)) return "-";
  if (!Number.isFinite(error)) return general(value, digits);
  if (error <= Math.abs(value) * 1e-9) return `${general(value, digits)}±0`;
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e5) return `${general(value, 3)}±${general(error, 1)}`;
  const exponent = Math.floor(Math.log10(error));
  const leadsLow = error / 10 ** exponent < 3 ? 1 : 0;
  const decimals = Math.min(Math.max(0, leadsLow - exponent), 5);
  return `${value.toFixed(decimals)}±${error.toFixed(decimals)}`;
};

const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

const tickWords = (value) => {
  const size = Math.abs(value);
  for (const [power, unit] of [[12, "T"], [9, "B"], [6, "M"], [3, "k"]]) {
    if (size >= 10 * 10 ** power || (power > 3 && size >= 10 ** power)) {
      return `${general(value / 10 ** power, 4)}${unit}`.replace("-", "−");
    }
  }
  if (size > 0 && size < 1e-2) {
    const [digits, exponent] = value.toExponential(2).split("e");
    const raised = [...String(Number(exponent))].map((one) => RAISED[one]).join("");
    const front = Number(digits) === 1 ? "" : `${Number(digits)}·`;
    return `${front}10${raised}`.replace("-", "−");
  }
  return general(value, 4).replace("-", "−");
};

const bytesOf = (text) => {
  const held = atob(text);
  const bytes = new Uint8Array(held.length);
  for (let place = 0; place < held.length; place += 1) bytes[place] = held.charCodeAt(place);
  return bytes.buffer;
};

// codes of (rows, n) back into numbers: row by row, since a reader sees a few of them at a time
const rowOfCodes = (coded, Kind, row, width) => {
  coded.open ??= { codes: new Kind(bytesOf(coded.codes)), ends: new Float32Array(bytesOf(coded.ends)) };
  const most = Kind === Uint16Array ? 65534 : 254;
  const [low, high] = coded.open.ends.subarray(2 * row, 2 * row + 2);
  return Array.from(coded.open.codes.subarray(row * width, (row + 1) * width), (code) =>
    code > most ? NaN : Math.exp(low + ((high - low) * code) / most));
};

const wholeRanks = (spans) =>
  spans.flatMap((one) =>
    typeof one === "number" ? [one] : Array.from({ length: one[1] - one[0] + 1 }, (_, next) => one[0] + next));
