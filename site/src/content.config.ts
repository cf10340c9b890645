import { defineCollection } from 'astro:content';
import { docsSchema } from '@astrojs/starlight/schema';
import { checkoutLoader } from './loader.ts';

export const collections = { docs: defineCollection({ loader: checkoutLoader(), schema: docsSchema() }) };
