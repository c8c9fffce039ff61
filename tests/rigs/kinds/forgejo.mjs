// Forgejo: Gitea's interface under another roof, and other words in a few answers.
import { giteaKind } from './gitea.mjs';

export const kind = giteaKind('forgejo.example.com');
