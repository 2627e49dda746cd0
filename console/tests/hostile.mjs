/** What tenants may call things, and would rather not: each is a user, a message name and data. */

const ACTS = ["alert(1)", "alert`1`", "fetch('//example.invalid')", "location='//example.invalid'", "document.title='x'"];
const FORMS = [
  (act) => `<script>${act}<\u002fscript>`,
  (act) => `"><script>${act}<\u002fscript>`,
  (act) => `<img src=x onerror="${act}">`,
  (act) => `<svg onload=${act}>`,
  (act) => `'"><svg/onload=${act}>`,
  (act) => `<iframe srcdoc="<script>${act}<\u002fscript>">`,
  (act) => `javascript:${act}`,
  (act) => `data:text/html,<script>${act}<\u002fscript>`,
  (act) => `<a href="javascript:${act}">x</a>`,
  (act) => `<details open ontoggle=${act}>`,
  (act) => `<input autofocus onfocus=${act}>`,
  (act) => `<style>@import '//example.invalid';</style>${act}`,
  (act) => `<math><mtext><table><mglyph><style><!--</style><img src onerror=${act}>`,
  (act) => `{{constructor.constructor('${act}')()}}`,
  (act) => `\${${act}}`,
  (act) => `<template><script>${act}<\u002fscript></template>`,
  (act) => `<base href="//example.invalid/">${act}`,
  (act) => `<form action="javascript:${act}"><button>`,
  (act) => `--><!-- ${act} ]]>`,
  (act) => `\u202e${act}\u2066`,
  (act) => `${"A".repeat(90)}${act}`,
  (act) => `<object data="data:text/html,${act}">`,
  (act) => `__proto__${act}`,
  (act) => `<link rel=stylesheet href=//example.invalid>${act}`,
  (act) => `\ufdfd\u0301\u0301\u0301\u0301${act}`,
  (act) => `<meta http-equiv=refresh content="0;url=//example.invalid">${act}`,
  (act) => `<video><source onerror="${act}">`,
  (act) => `<marquee onstart=${act}>`,
  (act) => `<body onload=${act}>`,
  (act) => `%3Cscript%3E${act}%3C/script%3E`,
  (act) => `&lt;script&gt;${act}&lt;/script&gt;`,
  (act) => `<x contenteditable onblur=${act}>`,
  (act) => `" style="background:url(//example.invalid)" x="${act}`,
  (act) => `\\u003cscript\\u003e${act}`,
  (act) => `<svg><use href="data:image/svg+xml,${act}">`,
  (act) => `<embed src="javascript:${act}">`,
  (act) => `<portal src=x>${act}`,
  (act) => `<script type=module>${act}<\u002fscript>`,
  (act) => `<noscript><p title="</noscript><img src=x onerror=${act}>">`,
  (act) => `<button popovertarget=x onclick=${act}>`,
];

/** 200 of them. */
export const HOSTILE = FORMS.flatMap((form) => ACTS.map(form));
/** As users may be called: no control characters, no `/`, 128 characters. */
export const HOSTILE_USERS = HOSTILE.map((text) => text.replaceAll("/", "\u2215").slice(0, 128));
