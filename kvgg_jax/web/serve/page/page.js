"use strict";
const at = (id) => document.getElementById(id);
const AT_ONCE = 4; // requests under way
const RETRIES = 20; // while the server is full
const WAIT = 120000; // milliseconds for one request, its sending included
const SIDE = 1600; // pixels of the longer side, to which a photo too large to be sent is scaled
let model = null;
let opening = false;
const under = new Set(); // what ends each request under way
const queue = [];

async function start() {
  try {
    const answer = await fetch("/api/model");
    model = await answer.json();
    const names = model.classes;
    const some = names.slice(0, 6).join(", ") + (names.length > 6 ? ` and ${names.length - 6} more` : "");
    const sure = model.calibrated ? "its probabilities are calibrated" : "its probabilities are not calibrated";
    at("about").textContent = `Classes of “${model.run}”: ${some}; ${sure}.`;
  } catch {
    at("about").textContent = "The server does not answer. Start it with: kvgg serve";
  }
}

function add(files) {
  const all = [...files];
  if (!all.length) return;
  at("answers").hidden = false;
  const cards = all.map(card);
  at("list").prepend(...cards.map((one) => one.element));
  queue.push(...cards);
  next();
  looking();
}

function card(file) {
  const element = at("card").content.cloneNode(true).firstElementChild;
  const photo = element.querySelector(".photo");
  const frame = document.createElement("div");
  frame.className = "frame";
  photo.before(frame);
  frame.append(photo, element.querySelector(".layer"));
  element.querySelector(".name").textContent = file.name;
  photo.alt = `The photo ${file.name}`;
  photo.onload = () => frame.style.setProperty("--ratio", photo.naturalWidth / photo.naturalHeight);
  photo.onerror = () => { frame.hidden = true; element.querySelector(".blank").hidden = false; };
  photo.src = URL.createObjectURL(file);
  const one = { file, element, photo };
  element.querySelector(".again").onclick = () => {
    element.classList.remove("bad");
    element.querySelector(".again").hidden = true;
    element.querySelector(".verdict").textContent = "Looking…";
    element.focus();
    queue.push(one);
    next();
    looking();
  };
  return one;
}

function next() {
  while (under.size < AT_ONCE && queue.length) {
    const stop = new AbortController();
    under.add(stop);
    ask(queue.shift(), stop).finally(() => { under.delete(stop); next(); });
  }
}

function looking() {
  const left = under.size + queue.length;
  if (left) at("status").textContent = `Looking at ${left} ${left === 1 ? "photo" : "photos"}…`;
}

async function ask(one, stop) {
  try {
    await one.file.slice(0, 1).arrayBuffer();
  } catch {
    return fail(one, "This file cannot be read. Is it a folder, or was it moved?", false);
  }
  try {
    const body = await form(one);
    for (let again = 0; one.element.isConnected; again += 1) {
      const answer = await send(body, stop);
      const said = await answer.json().catch(() => ({ error: `The answer was ${answer.status}.` }));
      if (answer.status === 503 && again < RETRIES) {
        one.element.querySelector(".verdict").textContent = said.error;
        await new Promise((done) => setTimeout(done, 1000 * Number(answer.headers.get("retry-after") || 1)));
        continue;
      }
      const result = said.results ? said.results[0] : { error: said.error || "The server gave no answer." };
      one.slow = answer.status === 408; // next time it is sent smaller
      if (said.run && said.run !== model?.run) start(); // another server has taken the place
      if (result.error) fail(one, result.error, one.slow || answer.status >= 500);
      else show(one, result);
      return;
    }
  } catch {
    fail(one, "The server did not answer. Is it still running?", true);
  }
}

async function send(body, stop) {
  const alarm = setTimeout(() => stop.abort(), WAIT);
  try {
    return await fetch(`/api/predict?top=5&heat=true&similar=${model?.max_similar ?? 0}`, { method: "POST", body, signal: stop.signal });
  } finally {
    clearTimeout(alarm);
  }
}

async function form(one) {
  const { file, photo } = one;
  if (!photo.complete) await new Promise((done) => { photo.addEventListener("load", done); photo.addEventListener("error", done); });
  const tooLarge = model && (file.size > model.max_upload_bytes - 4096 || photo.naturalWidth * photo.naturalHeight > model.max_pixels);
  const perhaps = /hei[cf]/.test(file.type) || /\.hei[cf]$/i.test(file.name); // the server may not read it
  const body = new FormData();
  body.append("files", tooLarge || perhaps || one.slow ? await smaller(file) : file, file.name);
  return body;
}

async function smaller(file) {
  const image = await createImageBitmap(file).catch(() => null);
  if (!image) return file; // the server says why it does not take it
  const share = Math.min(1, Math.max(SIDE, model?.image_size ?? 0) / Math.max(image.width, image.height));
  return (await drawn(image, Math.round(image.width * share), Math.round(image.height * share))) ?? file;
}

function drawn(source, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff"; // behind what is transparent, as the server has it
  pen.fillRect(0, 0, width, height);
  pen.drawImage(source, 0, 0, width, height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}

const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;

function show(one, result) {
  if (!one.element.isConnected) return; // cleared meanwhile
  const part = (name) => one.element.querySelector(name);
  const found = `${result.class} · ${percent(result.probability)}`;
  part(".verdict").textContent = result.unknown ? "Unknown" : result.unsure ? `Perhaps ${found}` : found;
  part(".doubt").hidden = !(result.unsure || result.unknown);
  if (result.unknown) part(".doubt").textContent = `Unlike the training photos. The nearest class is ${found}`;
  else if (result.unsure) part(".doubt").textContent = `Unsure: below ${percent(result.unsure_below)}`;
  part(".top").replaceChildren(...result.top.map(row));
  part(".similar").hidden = !result.similar?.length;
  part(".near").replaceChildren(...(result.similar ?? []).map(near));
  if (result.heat) {
    part(".layer").src = result.heat;
    part(".layer").hidden = false;
  }
  const doubt = result.unknown ? "unknown, perhaps " : result.unsure ? "unsure, perhaps " : "";
  say(`${one.file.name}: ${doubt}${result.class}, ${percent(result.probability)}.`);
}

function row(scored) {
  const item = document.createElement("li");
  const [name, share, meter] = ["span", "span", "meter"].map((tag) => document.createElement(tag));
  name.textContent = scored.class;
  share.textContent = percent(scored.probability);
  meter.value = scored.probability;
  meter.setAttribute("aria-hidden", "true"); // the figure beside it says the same
  item.append(name, share, meter);
  return item;
}

function near(photo) {
  const item = document.createElement("li");
  const image = document.createElement(photo.image ? "img" : "span");
  if (photo.image) {
    image.src = photo.image;
    image.alt = "";
  } else image.textContent = "no photo any more";
  const text = document.createElement("span");
  text.textContent = `${photo.class} · ${photo.similarity.toFixed(2)}`;
  item.title = photo.name;
  item.append(image, text);
  return item;
}

function fail(one, reason, canRetry) {
  if (!one.element.isConnected) return;
  const text = reason.replace(`${one.file.name}: `, "This file ");
  one.element.classList.add("bad");
  one.element.querySelector(".verdict").textContent = text;
  one.element.querySelector(".again").hidden = !canRetry;
  say(`${one.file.name}: ${text}`);
}

function say(text) {
  const left = under.size + queue.length - 1;
  at("status").textContent = left > 0 ? `${text} ${left} to go.` : text;
}

function clear() {
  queue.length = 0;
  for (const stop of under) stop.abort();
  for (const photo of document.querySelectorAll(".photo")) URL.revokeObjectURL(photo.src);
  at("list").replaceChildren();
  at("answers").hidden = true;
  at("status").textContent = "Cleared.";
  at("choose").focus();
}

async function openCamera() {
  if (!navigator.mediaDevices) return at("shot").click(); // as over the network without TLS
  if (opening) return;
  opening = true;
  at("take").disabled = true; // until there is an image
  try {
    at("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    at("viewer").showModal();
  } catch (error) {
    if (error.name === "NotAllowedError") at("status").textContent = "The browser does not allow the camera.";
    else at("shot").click();
  } finally {
    opening = false;
  }
}

function closeCamera() {
  for (const track of at("video").srcObject?.getTracks() ?? []) track.stop();
  at("video").srcObject = null;
}

async function take() {
  at("take").disabled = true; // one photo, however often it is pressed
  const video = at("video");
  const blob = await drawn(video, video.videoWidth, video.videoHeight);
  at("viewer").close();
  if (!blob) return;
  const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "-");
  add([new File([blob], `camera ${time}.jpg`, { type: "image/jpeg" })]);
}

at("choose").onclick = () => at("files").click();
at("camera").onclick = openCamera;
at("take").onclick = take;
at("video").onloadeddata = () => { at("take").disabled = false; at("take").focus(); };
at("close").onclick = () => at("viewer").close();
at("viewer").onclose = closeCamera;
at("clear").onclick = clear;
at("heat").onchange = () => at("list").classList.toggle("no-heat", !at("heat").checked);
for (const input of [at("files"), at("shot")]) {
  input.onchange = () => { add(input.files); input.value = ""; };
}
document.ondragover = (event) => { event.preventDefault(); at("drop").classList.add("over"); };
document.ondragleave = (event) => { if (!event.relatedTarget) at("drop").classList.remove("over"); };
document.ondrop = (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  if (!event.dataTransfer.files.length) at("status").textContent = "That is no file. Drop photos.";
  add(event.dataTransfer.files);
};
document.onpaste = (event) => add(event.clipboardData.files);
start();
