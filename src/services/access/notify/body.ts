/** The bodies of notices: for programs, for Slack and for Microsoft Teams. None has a secret or a token in it. */
import type { NoticeFormat } from '../../../config/config.ts';
import type { AccessNotice } from '../../../core/access/notice.ts';
import { requestFields } from '../access-view.ts';
import { noticeText } from './texts.ts';
import { defined } from '../../../core/defined.ts';

/** @param nowMs when it happened, for programs */
export function noticeBody(
  notice: AccessNotice,
  { format, publicUrl, nowMs }: { readonly format: NoticeFormat; readonly publicUrl: string; readonly nowMs: number },
): string {
  if (format === 'json') return JSON.stringify(eventOf(notice, publicUrl, nowMs));
  const link = `${publicUrl}/access/${encodeURIComponent(notice.request.id)}`;
  return JSON.stringify(format === 'slack' ? slackMessage(notice, link) : teamsMessage(notice, link));
}

/**
 * Returns the id by which receivers tell a notice that they have had: the same for each attempt, and on each replica.
 * It has no full stop, because it is signed with full stops around it.
 */
export const noticeId = ({ kind, request }: AccessNotice): string =>
  `access_${request.id}_${kind}${kind === 'approved' ? `_${request.decisions.length}` : ''}`;

/** As Standard Webhooks recommends: a type with a full stop, a time, and data, which is as the APIs have it. */
function eventOf({ kind, request, by }: AccessNotice, publicUrl: string, nowMs: number): object {
  const { approval } = request.terms;
  return {
    type: `access.${kind.replace('-', '_')}`,
    timestamp: new Date(nowMs).toISOString(),
    data: {
      ...requestFields(request, publicUrl),
      approvers: approval === 'none' ? [] : approval.groups,
      ...defined({ by }),
    },
  };
}

/** Slack rejects a section with more. */
const MOST_FIELDS = 10;

/**
 * Slack reads `<!channel>` and `<https://…|text>` even in a plain text, and the three characters of both are all that has
 * to be escaped. Texts of users are in plain text only, where nothing else has a meaning. So an attacker's reason neither
 * calls a whole channel nor shows one address and leads to another.
 * @see https://docs.slack.dev/messaging/formatting-message-text
 */
function slackMessage(notice: AccessNotice, link: string): object {
  const { heading, facts } = noticeText(notice);
  const isReason = ([name]: readonly [string, string]): boolean => name.startsWith('Reason');
  const field = ([name, value]: readonly [string, string]): object => slackText(`${name}: ${value}`);
  return {
    // What is in a notification. It has no text of a user, because `text` is searched for addresses and names.
    text: heading,
    mrkdwn: false,
    unfurl_links: false,
    unfurl_media: false,
    blocks: [
      { type: 'header', text: slackText(heading) },
      {
        type: 'section',
        fields: facts
          .filter((fact) => !isReason(fact))
          .slice(0, MOST_FIELDS)
          .map(field),
      },
      ...facts.filter(isReason).map((fact) => ({ type: 'section', text: field(fact) })),
      { type: 'section', text: { type: 'mrkdwn', text: `<${link}|Open it in Portcullis>`, verbatim: true } },
    ],
  };
}

const slackText = (text: string): object => ({
  type: 'plain_text',
  text: text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;'),
  emoji: false,
});

/**
 * An Adaptive Card, as the trigger *When a Teams webhook request is received* of Workflows takes it. Its text blocks and
 * its facts are Markdown, in which an attacker's reason would be a link; a text run is not.
 * @see https://learn.microsoft.com/en-us/adaptive-cards/schema-explorer/text-run
 */
function teamsMessage(notice: AccessNotice, link: string): object {
  const { heading, facts } = noticeText(notice);
  const block = (...inlines: readonly object[]): object => ({ type: 'RichTextBlock', inlines });
  const run = (text: string, style: object = {}): object => ({ type: 'TextRun', text, ...style });
  const card = {
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    type: 'AdaptiveCard',
    version: '1.4',
    // Markdown, and without any text of a user.
    fallbackText: heading,
    body: [
      block(run(heading, { weight: 'Bolder', size: 'Medium' })),
      ...facts.map(([name, value]) => block(run(`${name}: `, { weight: 'Bolder' }), run(value))),
    ],
    actions: [{ type: 'Action.OpenUrl', title: 'Open it in Portcullis', url: link }],
  };
  return {
    type: 'message',
    attachments: [{ contentType: 'application/vnd.microsoft.card.adaptive', contentUrl: null, content: card }],
  };
}
