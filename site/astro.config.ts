import { satteri } from '@astrojs/markdown-satteri';
import starlight from '@astrojs/starlight';
import { defineConfig, passthroughImageService } from 'astro/config';
import { navigationOf } from './src/navigation.ts';
import { readPages } from './src/pages.ts';
import { readSettings } from './src/settings.ts';

const { root, out, source } = readSettings();

export default defineConfig({
  outDir: out,
  publicDir: './none',
  trailingSlash: 'never',
  // `revocation.html`: it opens from a folder as it does from a server.
  build: { format: 'file', assets: 'assets', inlineStylesheets: 'never' },
  // It would load what a reader may never open.
  prefetch: false,
  image: { service: passthroughImageService() },
  // Quotes stay as they are typed. The colours of Shiki are attributes of style, which a strict policy forbids; Prism's are classes.
  markdown: { syntaxHighlight: 'prism', processor: satteri({ features: { smartPunctuation: false } }) },
  // Scripts within the page: a browser loads no module from a folder. finish.ts allows each by its hash.
  vite: { build: { assetsInlineLimit: 1_000_000 } },
  integrations: [
    starlight({
      title: 'Portcullis',
      description:
        'A proxy in front of Kubernetes: sign in with your own identity provider, act as yourself, be revoked instantly.',
      logo: { src: '../src/web/assets/icon.svg' },
      favicon: '/icon.svg',
      sidebar: [...navigationOf(readPages(root))],
      // Its index is fetched, which a page that is opened from a folder may not do.
      pagefind: false,
      expressiveCode: false,
      credits: false,
      customCss: ['./src/theme.css'],
      components: { Search: './src/components/Search.astro', LanguageSelect: './src/components/VersionSelect.astro' },
      ...(source === undefined ? {} : { social: [{ icon: 'github', label: 'Repository', href: source.repository }] }),
    }),
  ],
});
