/** The admin's own words, which every change is recorded with. */
import { html, type Html } from '../page/html.ts';

/** @param example what such a reason looks like */
export const reasonField = (example: string): Html =>
  html`<div class="field">
    <label for="reason">Reason, for the record</label>
    <input type="text" id="reason" name="reason" required maxlength="500" autocomplete="off" placeholder="${example}" />
  </div>`;
