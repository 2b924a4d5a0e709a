// Has the browser make a passkey, or sign with one, for a form that needs it. Without this file such forms stay hidden.
"use strict";

const read = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
const write = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

function asked(form) {
  const options = JSON.parse(form.dataset.options);
  options.challenge = read(options.challenge);
  if (options.user) options.user.id = read(options.user.id);
  for (const one of [...(options.allowCredentials ?? []), ...(options.excludeCredentials ?? [])]) one.id = read(one.id);
  return { publicKey: options };
}

function brought(credential) {
  const from = credential.response;
  const response = { clientDataJSON: write(from.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (from[name]) response[name] = write(from[name]);
  }
  if (from.getTransports) response.transports = from.getTransports();
  return JSON.stringify({ id: credential.id, rawId: write(credential.rawId), type: credential.type, response });
}

// Offered on https and on localhost alone.
const able = Boolean(window.PublicKeyCredential);
for (const part of document.querySelectorAll("[data-passkeys]")) part.hidden = able !== (part.dataset.passkeys === "with");

for (const form of able ? document.querySelectorAll("form[data-passkey]") : []) {
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const problem = form.querySelector(".problem");
    problem.hidden = true;
    try {
      const credential = await navigator.credentials[form.dataset.passkey](asked(form));
      form.elements.credential.value = brought(credential);
      HTMLFormElement.prototype.submit.call(form);
    } catch (error) {
      const known = error.name === "InvalidStateError";
      problem.textContent = known ? "That device has a passkey of yours already." : "The browser made nothing of it: it was called off, or took too long. Try again.";
      problem.hidden = false;
    }
  });
}
